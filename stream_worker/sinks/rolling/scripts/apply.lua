-- Count one delta and move its partition's cursor, or change nothing (DESIGN 3.3).
-- ARGV: partition, expected, next, watermark, log end, paused "1"|"0", t0 of the proof of idleness or "",
--       owner or "", max brands, max networks, delta as JSON or "".
-- Reply: applied 1|0, next ("" = no cursor), watermark, now, sealed, cells of refused brands, cells of
--       refused networks, expired mentions.
local MEASURES = {'n', 'neg', 'neu', 'pos', 'uncertain', 'unscored', 'sum', 'repeats', 'voices', 'neg_voices'}
local p, expected, to, watermark = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local stored = redis.call('HMGET', cursors, 'next:' .. p, 'wm:' .. p, 'proof:' .. p)
local c = redis.call('HMGET', ctl, 'sealed', 'floor', 'trimmed', 'newest')
local sealed, floor, trimmed = tonumber(c[1] or 0), tonumber(c[2] or 0), tonumber(c[3] or 0)
if stored[1] ~= expected then
  return {0, stored[1] or '', stored[2] or '', now, sealed, 0, 0, 0}
end

-- Brands and networks are admitted in the order of their cells, up to a limit. What comes after the
-- limit is counted under the reserved empty name, so that totals stay exact.
local function register(key, limit)
  check_type(key, 'hash')
  local size = redis.call('HLEN', key)
  return {key = key, limit = tonumber(limit), size = size, first = {}, new = {}, refused = 0}
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
  if not late and (first == '' or minute < tonumber(first)) then
    reg.first[name], reg.new[name] = int(minute), true
  end
  return name
end

local function write_register(reg)
  for name in pairs(reg.new) do redis.call('HSET', reg.key, name, reg.first[name]) end
end

-- First pass: where does each cell go? It reads and may fail; nothing is written.
local all_brands, all_networks = register(brands, ARGV[9]), register(networks, ARGV[10])
local cells = {} -- {minute, prefix of its fields, end of its fields, index of its first measure}
local totals = {} -- minute -> {on-time mentions, late mentions}
local history = {}
local model, measures = '', {}
local newest, expired = tonumber(c[4] or -1), 0

if ARGV[11] ~= '' then
  local delta = cjson.decode(ARGV[11])
  model, measures = delta.model, delta.measures
  check_type(minutes, 'zset')
  for i, minute in ipairs(delta.minutes) do
    local at = (i - 1) * 10
    local n = measures[at + 1]
    if minute < floor then
      expired = expired + n
    else
      local late = delta.late[i] == 1 or minute < sealed
      local network = admit(all_networks, delta.networks[i], minute, late)
      local brand = admit(all_brands, delta.brands[i], minute, late)
      if late then
        local sums = {}
        for j = 1, 10 do sums[j] = measures[at + j] end
        -- Minutes of 48 h: whole hours, or an hour deleted by a close would come back in part.
        if minute - minute % HOUR + 48 * HOUR >= sealed then
          plan_history_of_minute(history, minute, brand, sums)
        end
        plan_history_of_hour(history, minute, brand, sums)
      else
        newest = math.max(newest, minute)
      end
      if minute >= trimmed then -- below it the minute's hash is gone; its late ones are in history
        if not totals[minute] then
          totals[minute] = {0, 0}
          check_type(minute_key(minute), 'hash')
        end
        local total = totals[minute]
        total[late and 2 or 1] = total[late and 2 or 1] + n
        cells[#cells + 1] = {minute_key(minute), late and 'late_' or '', ':' .. network .. ':' .. brand, at}
      end
    end
  end
end

-- Second pass: write.
for _, cell in ipairs(cells) do
  local key, prefix, suffix, at = cell[1], cell[2], cell[3], cell[4]
  for j = 1, 10 do
    local value = measures[at + j]
    if value ~= 0 then redis.call('HINCRBY', key, prefix .. MEASURES[j] .. suffix, int(value)) end
  end
end
for minute, total in pairs(totals) do
  local key = minute_key(minute)
  if total[1] > 0 then
    redis.call('HINCRBY', key, 'mentions', int(total[1]))
    if redis.call('HINCRBY', key, 'model:' .. model, int(total[1])) == total[1] then
      -- The list of models, sorted. Only on-time mentions count, so that a seal freezes it.
      local models = {model}
      local others = redis.call('HGET', key, 'models') or ''
      for other in string.gmatch(others, '[^,]+') do table.insert(models, other) end
      table.sort(models)
      redis.call('HSET', key, 'models', table.concat(models, ','))
    end
  end
  if total[2] > 0 then redis.call('HINCRBY', key, 'late_mentions', int(total[2])) end
  redis.call('ZADD', minutes, int(minute), int(minute))
  redis.call('EXPIRE', key, MINUTE_TTL)
end
write_history(history)
write_register(all_brands)
write_register(all_networks)
if newest >= 0 then redis.call('HSET', ctl, 'newest', int(newest)) end
if expired > 0 then redis.call('HINCRBY', ctl, 'expired', int(expired)) end

-- The cursor moves with its data.
watermark = int(math.max(watermark, tonumber(stored[2])))
redis.call('HSET', cursors, 'next:' .. p, to, 'wm:' .. p, watermark)
redis.call('HSET', cursors, 'end:' .. p, ARGV[5], 'rep:' .. p, int(now))
if to ~= expected or ARGV[6] == '1' or ARGV[7] ~= '' then
  redis.call('HSET', cursors, 'alive:' .. p, int(now))
end
if ARGV[7] ~= '' then
  local t0 = tonumber(ARGV[7])
  local cursor, old = string.match(stored[3] or '', '^(%d+),(%-?%d+)$')
  if cursor == to then t0 = math.max(t0, tonumber(old)) end -- a report that arrives late takes nothing back
  redis.call('HSET', cursors, 'proof:' .. p, to .. ',' .. int(t0))
end
if ARGV[8] ~= '' then redis.call('HSET', cursors, 'owner:' .. p, ARGV[8]) end
return {1, to, watermark, now, sealed, all_brands.refused, all_networks.refused, expired}
