-- Remove an entry, and what was fixed for it, if it and the record of its brand's episode are what was read.
-- ARGV: id, body, shard, brand, record or "". Reply: 1 or 0.
if redis.call('HGET', outbox, ARGV[1]) ~= ARGV[2] then return 0 end
if (redis.call('HGET', root .. ':shard:' .. ARGV[3], 'episode:' .. ARGV[4]) or '') ~= ARGV[5] then return 0 end
redis.call('HDEL', outbox, ARGV[1])
redis.call('HDEL', fixed, ARGV[1])
return 1
