local now_us = (function() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end)()
-- Every script begins with this file; tests swap the line above and nothing else.
-- KEYS are the five root keys, in one order for all scripts; all other keys are derived in the same slot.
local now = math.floor(now_us / 1000)
local ctl, cursors, minutes, brands, networks = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local root = string.sub(ctl, 1, -5) -- without ":ctl"
local MINUTE, HOUR, DAY = 60000, 3600000, 86400000
local MINUTE_TTL, HOURS_TTL, DAYS_TTL = 7 * 86400, 8 * 86400, 70 * 86400 -- s; a safety net only

-- Lua writes 1e14 as "1e+14"; every integer of ours is written by this.
local function int(number)
  return string.format('%.0f', number)
end

local function minute_key(minute)
  return root .. ':m:' .. int(minute)
end

local function broken(what)
  error({err = 'SWBROKEN ' .. string.gsub(what, '%c', ' ')})
end

-- An error after the first write would leave half a delta, so types are asked for before it.
local function check_type(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then
    broken(key .. ' is a ' .. found .. ', it must be a ' .. kind)
  end
end

-- History: additions are planned first (reads, errors), then written. sums = ten integers.
local function plan_history(plan, key, field, sums, ttl)
  local id = key .. '\0' .. field
  local planned = plan[id]
  if not planned then
    planned = {key = key, field = field, ttl = ttl, sums = {}}
    check_type(key, 'hash')
    local stored = redis.call('HGET', key, field)
    if stored then
      for value in string.gmatch(stored, '[^,]+') do
        table.insert(planned.sums, tonumber(value))
      end
      if #planned.sums ~= 10 then broken('history in ' .. key .. ' is not ten integers') end
    else
      planned.sums = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
    end
    plan[id] = planned
  end
  for i = 1, 10 do planned.sums[i] = planned.sums[i] + sums[i] end
end

local function plan_history_of_minute(plan, minute, brand, sums)
  local hour = minute - minute % HOUR
  plan_history(plan, root .. ':hm:' .. int(hour) .. ':' .. brand, int(minute), sums, HOURS_TTL)
end

local function plan_history_of_hour(plan, minute, brand, sums)
  local day = minute - minute % DAY
  plan_history(plan, root .. ':hd:' .. int(day) .. ':' .. brand, int(minute - minute % HOUR), sums, DAYS_TTL)
end

local function write_history(plan)
  for _, planned in pairs(plan) do
    local text = {}
    for i = 1, 10 do text[i] = int(planned.sums[i]) end
    redis.call('HSET', planned.key, planned.field, table.concat(text, ','))
    redis.call('EXPIRE', planned.key, planned.ttl)
  end
end

-- The format, the time of the last script, and the group's return after a gap of more than 30 s.
local said = redis.call('HMGET', ctl, 'v', 'last_script_ms')
if said[1] and said[1] ~= '1' then
  return redis.error_reply('SWFORMAT ' .. ctl .. ' has format version ' .. said[1] .. ', not 1')
end
if said[2] and now - tonumber(said[2]) > 30000 then
  redis.call('HSET', ctl, 'returned_ms', int(now))
end
redis.call('HSET', ctl, 'v', '1', 'last_script_ms', int(now))
