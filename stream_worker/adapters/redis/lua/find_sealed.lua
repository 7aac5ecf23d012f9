-- Find the first sealed minute that starts at or after ARGV[1]. Reply: its start or "", now.
local sealed = redis.call('HGET', ctl, 'sealed') or '0'
local at = 0
while true do
  local found = redis.call('ZRANGEBYSCORE', minutes, ARGV[1], '(' .. sealed, 'LIMIT', at, 100)
  for _, minute in ipairs(found) do
    if redis.call('HEXISTS', root .. ':m:' .. minute, 'mark') == 1 then return {minute, now} end
  end
  if #found < 100 then return {'', now} end
  at = at + 100
end
