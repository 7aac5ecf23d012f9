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

-- The integer that a text stands for; nil for any other text, and for what a Lua number cannot hold exactly.
local function integer(text)
  return text and #text <= 17 and string.find(text, '^-?%d+$') and tonumber(text) or nil
end

-- A field of control as an integer. Without control nobody can go on: this is an error, before any write.
local function control_integer(text, field, default)
  if not text then return default end
  return integer(text) or broken(control .. ' field ' .. field .. ' is no integer')
end

-- An error after the first write would leave half of it. So every key is read before the first write: a
-- key of another type is an error here, with its name.
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then broken(key .. ' cannot be read: ' .. reply.err) end
  return reply
end

-- Damage that stays with one brand or minute is no error: the reply names it, and all else goes on.
local damaged = {} -- kind, key below the root, field or "", flat

local function note_damage(kind, key, field)
  if #damaged >= 3 * LIMIT.DAMAGED_FIELDS then return end
  damaged[#damaged + 1] = kind
  damaged[#damaged + 1] = string.sub(key, #root + 2)
  damaged[#damaged + 1] = field
end

-- The reply of a command; nil when the key is of another type, which is noted.
local function read_contained(kind, command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'WRONGTYPE', 1, true) then broken(key .. ' cannot be read: ' .. reply.err) end
    note_damage(kind, key, '')
    return nil
  end
  return reply
end

-- The integers of a history value; none when one of them is no integer.
local function integers(text)
  local values = {}
  for part in string.gmatch(text .. ',', '([^,]*),') do
    local value = tonumber(part)
    if not value or value % 1 ~= 0 then return {} end
    values[#values + 1] = value
  end
  return values
end

-- History: additions are planned first, then written. plan: key -> {ttl, field -> ten sums}. Nothing is added
-- to a field that is damaged (false), or to a key of another type (fields: false).
local function plan_history(plan, key, field, sums, ttl)
  local planned = plan[key]
  if not planned then
    planned = {ttl = ttl, fields = {}}
    plan[key] = planned
  end
  if not planned.fields then return end
  local total = planned.fields[field]
  if total == nil then
    local stored = read_contained('history', 'HGET', key, field)
    if stored == nil then
      planned.fields = false
      return
    end
    total = integers(stored or ZEROS)
    if #total ~= #MEASURES then
      note_damage('history', key, field)
      total = false
    end
    planned.fields[field] = total
  end
  if not total then return end
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
    for field, total in pairs(planned.fields or {}) do
      if total then
        local text = {}
        for i = 1, #MEASURES do text[i] = int(total[i]) end
        redis.call('HSET', key, field, table.concat(text, ','))
      end
    end
    if planned.fields then redis.call('EXPIRE', key, planned.ttl) end
  end
end

-- Minutes of a shard that start before this are closed; nil when that is not known: the shard waits.
local function closed_of(k)
  local key = root .. KEY.SHARD .. k
  local stored = read_contained('shard', 'HGET', key, SHARD.CLOSED)
  if stored == false then return -1 end
  local closed = integer(stored)
  if stored and not closed then note_damage('shard', key, SHARD.CLOSED) end
  return closed
end

-- The format, the time of the last script, and the group's return after a gap.
local stored_version, last_script = unpack(redis.call('HMGET', control, CONTROL.FORMAT_VERSION, CONTROL.LAST_SCRIPT_MS))
if stored_version and stored_version ~= FORMAT_VERSION then
  return redis.error_reply(
    'SWFORMAT ' .. control .. ' has format version ' .. stored_version .. ', not ' .. FORMAT_VERSION)
end
last_script = integer(last_script) -- one that is damaged is written anew
if last_script and now - last_script > KEPT_MS.GAP then
  redis.call('HSET', control, CONTROL.RETURNED_MS, int(now))
end
redis.call('HSET', control, CONTROL.FORMAT_VERSION, FORMAT_VERSION, CONTROL.LAST_SCRIPT_MS, int(now))
