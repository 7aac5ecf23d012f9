-- Show a message to people. ARGV: id, body. Reply: the id in the stream.
local alerts = root .. KEY.ALERTS
local entry = redis.call('XADD', alerts, 'MAXLEN', '~', LIMIT.ALERTS, '*', ALERT.ID, ARGV[1], ALERT.BODY, ARGV[2])
redis.call('EXPIRE', alerts, TTL_S.ALERTS)
return entry
