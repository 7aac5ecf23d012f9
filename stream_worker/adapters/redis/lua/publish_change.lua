-- Append one change notice. ARGV: kind, minutes as JSON, brands as JSON or "*". Reply: the id of the notice.
local changes = root .. KEY.CHANGES
read('XLEN', changes)
local id = redis.call('XADD', changes, 'MAXLEN', '~', LIMIT.CHANGES, '*',
  CHANGE.KIND, ARGV[1], CHANGE.MINUTES, ARGV[2], CHANGE.BRANDS, ARGV[3], CHANGE.AT_MS, int(now))
redis.call('EXPIRE', changes, TTL_S.CHANGES)
return id
