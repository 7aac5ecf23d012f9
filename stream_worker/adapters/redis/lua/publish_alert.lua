-- Show a message to people. ARGV: id, body, time to live in s. Reply: the id in the stream.
local alerts = root .. ':alerts'
local place = redis.call('XADD', alerts, 'MAXLEN', '~', 1000, '*', 'id', ARGV[1], 'body', ARGV[2])
redis.call('EXPIRE', alerts, ARGV[3])
return place
