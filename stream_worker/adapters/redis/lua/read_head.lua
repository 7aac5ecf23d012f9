-- Read what a refresh of the rolling view must know first.
-- Reply: now, newest minute or "", sealed, models of the newest minute, then closed of each shard.
local c = redis.call('HMGET', control, CONTROL.NEWEST, CONTROL.SEALED)
local reply = {now, c[1] or '', c[2] or '0', ''}
if c[1] then reply[4] = redis.call('HGET', root .. KEY.MINUTE .. c[1], MINUTE.MODELS) or '' end
for k = 0, LIMIT.SHARDS - 1 do
  table.insert(reply, redis.call('HGET', root .. KEY.SHARD .. k, SHARD.CLOSED) or '-1')
end
return reply
