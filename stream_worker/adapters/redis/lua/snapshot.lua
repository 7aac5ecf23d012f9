-- Say where counting stands. Read only: it must not even look as if the group were there (no prelude).
-- In one transaction with the reads of a minute or of history it names the cursors that these belong to.
-- ARGV: "1" to list the minutes, else ""; then the names of logs.
-- Reply: now, control (flat), closed of each shard, minutes, and the cursors of each log (flat).
local root = string.sub(KEYS[1], 1, -5)
local control = redis.call('HGETALL', KEYS[1])
local version = redis.call('HGET', KEYS[1], 'v')
if version and version ~= '1' then
  return redis.error_reply('SWFORMAT ' .. KEYS[1] .. ' has format version ' .. version .. ', not 1')
end
local closed = {}
for k = 0, 15 do
  closed[k + 1] = redis.call('HGET', root .. ':shard:' .. k, 'closed') or '-1'
end
local minutes = {}
if ARGV[1] == '1' then minutes = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '+inf') end
local reply = {math.floor(now_us / 1000), control, closed, minutes}
for i = 2, #ARGV do
  reply[#reply + 1] = redis.call('HGETALL', root .. ':cursors:' .. ARGV[i])
end
return reply
