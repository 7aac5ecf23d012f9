local now_us = (function() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end)()
-- Every script begins with this file; tests swap the line above and nothing else. Behind that line stand the
-- tables of `keys.py`, which name every key, field and limit: KEY, CONTROL, CURSOR, MINUTE, SHARD, LIMIT …
-- KEYS are the five root keys, in one order for all scripts; all other keys are derived in the same slot.
local now = math.floor(now_us / 1000)
local control, cursors, minutes, brands, networks = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local root = string.sub(control, 1, -1 - #KEY.CONTROL)

-- Lua writes 1e14 as "1e+14"; every integer of ours is written by this.
local function int(number)
  return string.format('%.0f', number)
end

local function minute_key(minute)
  return root .. KEY.MINUTE .. int(minute)
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
    for value in string.gmatch(read('HGET', key, field) or ZEROS, '[^,]+') do
      table.insert(total, tonumber(value))
    end
    if #total ~= #MEASURES then broken('history in ' .. key .. ' is not ten integers') end
    planned.fields[field] = total
  end
  for i = 1, #MEASURES do total[i] = total[i] + sums[i] end
end

local function plan_history_of_minute(plan, minute, brand, sums)
  local key = root .. KEY.HISTORY_OF_MINUTES .. int(minute - minute % HOUR_MS) .. ':' .. brand
  plan_history(plan, key, int(minute), sums, TTL_S.HISTORY_OF_MINUTES)
end

local function plan_history_of_hour(plan, minute, brand, sums)
  local key = root .. KEY.HISTORY_OF_HOURS .. int(minute - minute % DAY_MS) .. ':' .. brand
  plan_history(plan, key, int(minute - minute % HOUR_MS), sums, TTL_S.HISTORY_OF_HOURS)
end

local function write_history(plan)
  for key, planned in pairs(plan) do
    for field, total in pairs(planned.fields) do
      local text = {}
      for i = 1, #MEASURES do text[i] = int(total[i]) end
      redis.call('HSET', key, field, table.concat(text, ','))
    end
    redis.call('EXPIRE', key, planned.ttl)
  end
end

-- The format, the time of the last script, and the group's return after a gap.
local stored_version, last_script = unpack(redis.call('HMGET', control, CONTROL.FORMAT_VERSION, CONTROL.LAST_SCRIPT_MS))
if stored_version and stored_version ~= FORMAT_VERSION then
  return redis.error_reply(
    'SWFORMAT ' .. control .. ' has format version ' .. stored_version .. ', not ' .. FORMAT_VERSION)
end
if last_script and now - tonumber(last_script) > KEPT_MS.GAP then
  redis.call('HSET', control, CONTROL.RETURNED_MS, int(now))
end
redis.call('HSET', control, CONTROL.FORMAT_VERSION, FORMAT_VERSION, CONTROL.LAST_SCRIPT_MS, int(now))
