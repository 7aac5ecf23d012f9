-- Remove an entry and its frozen message, if it and the record of its brand's episode are what was read.
-- ARGV: id, body, shard, brand, record or "". Reply: 1 or 0.
if redis.call('HGET', outbox, ARGV[1]) ~= ARGV[2] then return 0 end
local record = redis.call('HGET', root .. KEY.SHARD .. ARGV[3], SHARD.EPISODE .. ARGV[4])
if (record or '') ~= ARGV[5] then return 0 end
redis.call('HDEL', outbox, ARGV[1])
redis.call('HDEL', frozen, ARGV[1])
return 1
