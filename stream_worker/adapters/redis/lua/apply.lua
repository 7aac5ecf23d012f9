-- Count one delta and move its partition's cursor, or change nothing (docs/design.md#step).
-- ARGV: partition, expected, next, watermark, log end, paused "1"|"0", t0 of the proof of idleness or "",
--       owner or "", max brands, delta as JSON or "".
-- Reply: applied 1|0, next ("" = no cursor), watermark, now, sealed, cells of refused brands, cells of
--       refused networks, expired mentions, damaged fields (kind, key, field; flat).
local p, expected, to, watermark = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local stored = redis.call('HMGET', cursors, CURSOR.NEXT .. p, CURSOR.WATERMARK .. p, CURSOR.PROOF .. p)
local c = redis.call('HMGET', control,
  CONTROL.SEALED, CONTROL.COMPLETE_FROM, CONTROL.TRIMMED, CONTROL.NEWEST, CONTROL.EXPIRED)
local sealed = control_integer(c[1], CONTROL.SEALED, 0)
local complete_from = control_integer(c[2], CONTROL.COMPLETE_FROM, 0)
local trimmed = control_integer(c[3], CONTROL.TRIMMED, 0)
local newest = control_integer(c[4], CONTROL.NEWEST, -1)
control_integer(c[5], CONTROL.EXPIRED)
local stored_watermark = integer(stored[2])
if stored[1] ~= expected or not stored_watermark then -- a damaged cursor shows in what is stored
  return {0, stored[1] or '', stored[2] or '', now, sealed, 0, 0, 0, {}}
end

-- Brands and networks are admitted in the order of their cells, up to a limit. What comes after the
-- limit is counted under the reserved empty name, so that totals stay exact.
local function register(key, limit)
  return {key = key, limit = limit, size = read('HLEN', key), first = {}, new = {}, refused = 0}
end

local function admit(reg, name, minute, late)
  if name == '' then return '' end
  local first = reg.first[name] -- start of the first on-time minute, '' for none yet, false when refused
  if first == nil then
    first = redis.call('HGET', reg.key, name)
    if not first and reg.size < reg.limit then
      first, reg.size, reg.new[name] = '', reg.size + 1, true
    end
    reg.first[name] = first
  end
  if first == false then
    reg.refused = reg.refused + 1
    return ''
  end
  if not late and minute < (integer(first) or math.huge) then
    reg.first[name], reg.new[name] = int(minute), true
  end
  return name
end

local function write_register(reg)
  for name in pairs(reg.new) do redis.call('HSET', reg.key, name, reg.first[name]) end
end

-- What to add to the hash of each minute. One HMGET and one HSET of many fields cost half of as many HINCRBY.
local additions = {} -- minute -> {fields = list, values = field -> integer}

local function add(addition, field, value)
  local values = addition.values
  local before = values[field]
  if before then
    values[field] = before + value
  else
    values[field] = value
    addition.fields[#addition.fields + 1] = field
  end
end

-- False when the key of the minute is of another type: nothing is added to that minute.
local function read_totals(minute, addition)
  local fields, values = addition.fields, addition.values
  for from = 1, #fields, LIMIT.FIELDS_AT_ONCE do
    local last = math.min(from + LIMIT.FIELDS_AT_ONCE - 1, #fields)
    local totals = read_contained('minute', 'HMGET', minute_key(minute), unpack(fields, from, last))
    if not totals then return false end
    for i, stored in ipairs(totals) do
      if stored then
        local field, total = fields[from + i - 1], tonumber(stored)
        if total and total % 1 == 0 then
          values[field] = values[field] + total
        else
          note_damage('count', minute_key(minute), field)
          values[field] = false -- nothing is added to it
        end
      end
    end
  end
  return true
end

local function write_totals(minute, addition)
  local key, fields, values = minute_key(minute), addition.fields, addition.values
  for from = 1, #fields, LIMIT.FIELDS_AT_ONCE do
    local chunk = {}
    for i = from, math.min(from + LIMIT.FIELDS_AT_ONCE - 1, #fields) do
      local field = fields[i]
      if values[field] then
        chunk[#chunk + 1] = field
        chunk[#chunk + 1] = int(values[field])
      end
    end
    if #chunk > 0 then redis.call('HSET', key, unpack(chunk)) end
  end
  redis.call('ZADD', minutes, int(minute), int(minute))
  redis.call('EXPIRE', key, TTL_S.MINUTE)
end

-- 1. Where does each cell go? All that may fail is here; nothing is written.
local all_brands, all_networks = register(brands, tonumber(ARGV[9])), register(networks, LIMIT.NETWORKS)
local history, model = {}, ''
local expired = 0
read('ZCARD', minutes)

local function count(minute, late, network, brand, sums)
  local addition = additions[minute]
  if not addition then
    addition = {fields = {}, values = {}}
    additions[minute] = addition
  end
  local prefix, suffix = late and MINUTE.LATE or '', ':' .. network .. ':' .. brand
  for j = 1, #MEASURES do
    if sums[j] ~= 0 then add(addition, prefix .. MEASURES[j] .. suffix, sums[j]) end
  end
  if sums[1] == 0 then return end
  add(addition, prefix .. MINUTE.MENTIONS, sums[1])
  if not late then add(addition, MINUTE.MODEL .. model, sums[1]) end
end

if ARGV[10] ~= '' then
  local delta = cjson.decode(ARGV[10])
  model = delta.model
  for i, minute in ipairs(delta.minutes) do
    local sums = {unpack(delta.measures, (i - 1) * #MEASURES + 1, i * #MEASURES)}
    if minute < complete_from then
      expired = expired + sums[1]
    else
      local late = delta.late[i] == 1 or minute < sealed
      local network = admit(all_networks, delta.networks[i], minute, late)
      local brand = admit(all_brands, delta.brands[i], minute, late)
      -- Below `trimmed` the hash of the minute is gone; its late ones are in history only.
      if minute >= trimmed then count(minute, late, network, brand, sums) end
      if late then
        -- By whole hours, or an hour deleted by a close would come back in part.
        if minute - minute % HOUR_MS + KEPT_MS.HISTORY_OF_MINUTES >= sealed then
          plan_history_of_minute(history, minute, brand, sums)
        end
        plan_history_of_hour(history, minute, brand, sums)
      else
        newest = math.max(newest, minute)
      end
    end
  end
end
for minute, addition in pairs(additions) do
  if not read_totals(minute, addition) then additions[minute] = nil end
end

-- 2. Write.
for minute, addition in pairs(additions) do
  write_totals(minute, addition)
  if addition.values[MINUTE.MODEL .. model] ~= nil then
    -- The list of models. Only on-time mentions count, so that a seal freezes it.
    local models = redis.call('HGET', minute_key(minute), MINUTE.MODELS) or ''
    if not string.find(',' .. models .. ',', ',' .. model .. ',', 1, true) then
      redis.call('HSET', minute_key(minute), MINUTE.MODELS, models == '' and model or models .. ',' .. model)
    end
  end
end
write_history(history)
write_register(all_brands)
write_register(all_networks)
if newest >= 0 then redis.call('HSET', control, CONTROL.NEWEST, int(newest)) end
if expired > 0 then redis.call('HINCRBY', control, CONTROL.EXPIRED, int(expired)) end

-- The cursor moves with its data.
watermark = int(math.max(watermark, stored_watermark))
redis.call('HSET', cursors, CURSOR.NEXT .. p, to, CURSOR.WATERMARK .. p, watermark)
redis.call('HSET', cursors, CURSOR.END .. p, ARGV[5], CURSOR.REPORTED .. p, int(now))
if to ~= expected or ARGV[6] == '1' or ARGV[7] ~= '' then
  redis.call('HSET', cursors, CURSOR.ALIVE .. p, int(now))
end
if ARGV[7] ~= '' then
  local t0 = tonumber(ARGV[7])
  local cursor, old = string.match(stored[3] or '', '^(%d+),(%-?%d+)$')
  if cursor == to then t0 = math.max(t0, tonumber(old)) end -- a report that arrives late takes nothing back
  redis.call('HSET', cursors, CURSOR.PROOF .. p, to .. ',' .. int(t0))
end
if ARGV[8] ~= '' then redis.call('HSET', cursors, CURSOR.OWNER .. p, ARGV[8]) end
return {1, to, watermark, now, sealed, all_brands.refused, all_networks.refused, expired, damaged}
