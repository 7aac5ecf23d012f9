-- Read what a refresh of the rolling view must know first.
-- Reply: now, newest minute or "", sealed, models of the newest minute, then closed of each shard ("" when
--       that cannot be read).
local c = redis.call('HMGET', control, CONTROL.NEWEST, CONTROL.SEALED)
control_integer(c[1], CONTROL.NEWEST)
control_integer(c[2], CONTROL.SEALED)
local reply = {now, c[1] or '', c[2] or '0', ''}
if c[1] then reply[4] = read_contained('minute', 'HGET', root .. KEY.MINUTE .. c[1], MINUTE.MODELS) or '' end
for k = 0, LIMIT.SHARDS - 1 do
  local closed = closed_of(k)
  table.insert(reply, closed and int(closed) or '')
end
return reply
