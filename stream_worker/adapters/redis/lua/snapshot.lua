-- Read how far counting is. Read only: it must not even look as if the group were there (no prelude).
-- In one transaction with the reads of a minute or of history it names the cursors that these belong to.
-- ARGV: "1" to list the minutes, else ""; then the names of logs.
-- Reply: now, control (flat), closed of each shard, minutes, and the cursors of each log (flat).
local root = string.sub(KEYS[1], 1, -1 - #KEY.CONTROL)
local control = redis.call('HGETALL', KEYS[1])
local version = redis.call('HGET', KEYS[1], CONTROL.FORMAT_VERSION)
if version and version ~= FORMAT_VERSION then
  return redis.error_reply(
    'SWFORMAT ' .. KEYS[1] .. ' has format version ' .. version .. ', not ' .. FORMAT_VERSION)
end
local closed = {}
for k = 0, LIMIT.SHARDS - 1 do
  closed[k + 1] = redis.call('HGET', root .. KEY.SHARD .. k, SHARD.CLOSED) or '-1'
end
local minutes = {}
if ARGV[1] == '1' then minutes = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '+inf') end
local reply = {math.floor(now_us / 1000), control, closed, minutes}
for i = 2, #ARGV do
  reply[#reply + 1] = redis.call('HGETALL', root .. KEY.CURSORS .. ARGV[i])
end
return reply
