-- Find the first sealed minute that starts at or after ARGV[1]. Reply: its start or "", now.
local sealed = int(control_integer(redis.call('HGET', control, CONTROL.SEALED), CONTROL.SEALED, 0))
local at = 0
while true do
  local found = redis.call('ZRANGEBYSCORE', minutes, ARGV[1], '(' .. sealed, 'LIMIT', at, LIMIT.MINUTES_AT_ONCE)
  for _, minute in ipairs(found) do
    local is_sealed = read_contained('minute', 'HEXISTS', root .. KEY.MINUTE .. minute, MINUTE.SEAL_ID)
    if is_sealed == 1 then return {minute, now} end
  end
  if #found < LIMIT.MINUTES_AT_ONCE then return {'', now} end
  at = at + LIMIT.MINUTES_AT_ONCE
end
