-- Find the first sealed minute that starts at or after ARGV[1]. Reply: its start or "", now.
local sealed = redis.call('HGET', control, CONTROL.SEALED) or '0'
local at = 0
while true do
  local found = redis.call('ZRANGEBYSCORE', minutes, ARGV[1], '(' .. sealed, 'LIMIT', at, LIMIT.MINUTES_AT_ONCE)
  for _, minute in ipairs(found) do
    if redis.call('HEXISTS', root .. KEY.MINUTE .. minute, MINUTE.SEAL_ID) == 1 then return {minute, now} end
  end
  if #found < LIMIT.MINUTES_AT_ONCE then return {'', now} end
  at = at + LIMIT.MINUTES_AT_ONCE
end
