-- Freeze the message of an entry, while the store is away. ARGV: id, body as it was read, message.
-- Reply: the message that is frozen, or "" when the entry is not what was read.
if redis.call('HGET', outbox, ARGV[1]) ~= ARGV[2] then return '' end
redis.call('HSETNX', frozen, ARGV[1], ARGV[3])
return redis.call('HGET', frozen, ARGV[1])
