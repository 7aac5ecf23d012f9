-- Read what the windows of some brands are made of, at once: a close in between would count a minute twice.
-- ARGV: JSON {hours: [[hour, its minutes]], days: [[day, its hours]], unclosed: [minute],
--       networks: [network], brands: [[brand, shard]]}; starts are decimal strings.
-- Reply: per brand its sums as one text, ten numbers for each minute, each hour and each unclosed minute; "" for
--       a brand that is damaged. Then the damaged fields (kind, key, field; flat). The caller checks history.
local request = cjson.decode(ARGV[1])

-- False: a key is of another type.
local function add_history(sums, kind, keys, brand)
  for _, key in ipairs(keys) do
    local values = read_contained('history', 'HMGET', root .. kind .. key[1] .. ':' .. brand, unpack(key[2]))
    if not values then return false end
    for _, value in ipairs(values) do sums[#sums + 1] = value or ZEROS end
  end
  return true
end

-- The counts of one minute; nil when one of them is no integer. A minute of another type has none.
local function counts_of(minute, fields)
  local key, total = root .. KEY.MINUTE .. minute, {}
  for measure = 1, #MEASURES do total[measure] = 0 end
  for i, value in ipairs(read_contained('minute', 'HMGET', key, unpack(fields)) or {}) do
    if value then
      local count, measure = integer(value), (i - 1) % #MEASURES + 1
      if not count then
        note_damage('count', key, fields[i])
        return nil
      end
      total[measure] = total[measure] + count
    end
  end
  for measure = 1, #MEASURES do total[measure] = int(total[measure]) end
  return table.concat(total, ',')
end

-- On-time counts are in the minute's hash until the shard has closed it; late ones are in history already.
-- False: a count is damaged.
local function add_unclosed(sums, brand, closed)
  local fields = {}
  for _, network in ipairs(request.networks) do
    for _, measure in ipairs(MEASURES) do fields[#fields + 1] = measure .. ':' .. network .. ':' .. brand end
  end
  for _, minute in ipairs(request.unclosed) do
    if tonumber(minute) < closed then
      sums[#sums + 1] = ZEROS
    else
      local counts = counts_of(minute, fields)
      if not counts then return false end
      sums[#sums + 1] = counts
    end
  end
  return true
end

local reply = {}
for i, entry in ipairs(request.brands) do
  local sums, closed = {}, closed_of(entry[2])
  local readable = closed
    and add_history(sums, KEY.HISTORY_OF_MINUTES, request.hours, entry[1])
    and add_history(sums, KEY.HISTORY_OF_HOURS, request.days, entry[1])
    and add_unclosed(sums, entry[1], closed)
  reply[i] = readable and table.concat(sums, ',') or ''
end
return {reply, damaged}
