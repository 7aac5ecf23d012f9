-- What a draw must know first.
-- Reply: now, newest minute or "", sealed, models of the newest minute, then closed of each shard.
local c = redis.call('HMGET', ctl, 'newest', 'sealed')
local reply = {now, c[1] or '', c[2] or '0', ''}
if c[1] then reply[4] = redis.call('HGET', root .. ':m:' .. c[1], 'models') or '' end
for k = 0, 15 do
  table.insert(reply, redis.call('HGET', root .. ':shard:' .. k, 'closed') or '-1')
end
return reply
