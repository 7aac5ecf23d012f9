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

-- An error after the first write would leave half of it. So every key is read before the first write: a
-- key of another type is an error here, with its name.
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then broken(key .. ' cannot be read: ' .. reply.err) end
  return reply
end

-- History: additions are planned first, then written. plan: key -> {ttl, field -> ten sums}.
local function plan_history(plan, key, field, sums, ttl)
  local planned = plan[key]
  if not planned then
    planned = {ttl = ttl, fields = {}}
    plan[key] = planned
  end
  local total = planned.fields[field]
  if not total then
    total = {}
    for value in string.gmatch(read('HGET', key, field) or '0,0,0,0,0,0,0,0,0,0', '[^,]+') do
      table.insert(total, tonumber(value))
    end
    if #total ~= 10 then broken('history in ' .. key .. ' is not ten integers') end
    planned.fields[field] = total
  end
  for i = 1, 10 do total[i] = total[i] + sums[i] end
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
  for key, planned in pairs(plan) do
    for field, total in pairs(planned.fields) do
      local text = {}
      for i = 1, 10 do text[i] = int(total[i]) end
      redis.call('HSET', key, field, table.concat(text, ','))
    end
    redis.call('EXPIRE', key, planned.ttl)
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
