-- Append one change notice. ARGV: kind, minutes as JSON, brands as JSON or "*". Reply: the id of the notice.
local changes = root .. ':changes'
read('XLEN', changes)
local id = redis.call('XADD', changes, 'MAXLEN', '~', 10000, '*',
  'kind', ARGV[1], 'minutes', ARGV[2], 'brands', ARGV[3], 'at', int(now))
redis.call('EXPIRE', changes, 2 * 86400)
return id
