-- Read what the windows of some brands are made of, at once: a close in between would count a minute twice.
-- ARGV: JSON {hours: [[hour, its minutes]], days: [[day, its hours]], unclosed: [minute],
--       networks: [network], brands: [[brand, shard]]}; starts are decimal strings.
-- Reply: per brand its sums as one text, ten numbers for each minute, each hour and each unclosed minute.
local request = cjson.decode(ARGV[1])

local function add_history(sums, kind, keys, brand)
  for _, key in ipairs(keys) do
    local name = root .. kind .. key[1] .. ':' .. brand
    for _, value in ipairs(read('HMGET', name, unpack(key[2]))) do sums[#sums + 1] = value or ZEROS end
  end
end

-- On-time counts are in the minute's hash until the shard has closed it; late ones are in history already.
local function add_unclosed(sums, brand, closed)
  local fields = {}
  for _, network in ipairs(request.networks) do
    for _, measure in ipairs(MEASURES) do fields[#fields + 1] = measure .. ':' .. network .. ':' .. brand end
  end
  for _, minute in ipairs(request.unclosed) do
    if tonumber(minute) < closed then
      sums[#sums + 1] = ZEROS
    else
      local total = {}
      for measure = 1, #MEASURES do total[measure] = 0 end
      for i, value in ipairs(read('HMGET', root .. KEY.MINUTE .. minute, unpack(fields))) do
        if value then
          local measure = (i - 1) % #MEASURES + 1
          total[measure] = total[measure] + value
        end
      end
      for measure = 1, #MEASURES do total[measure] = int(total[measure]) end
      sums[#sums + 1] = table.concat(total, ',')
    end
  end
end

local reply = {}
for i, entry in ipairs(request.brands) do
  local sums = {}
  add_history(sums, KEY.HISTORY_OF_MINUTES, request.hours, entry[1])
  add_history(sums, KEY.HISTORY_OF_HOURS, request.days, entry[1])
  add_unclosed(sums, entry[1], tonumber(read('HGET', root .. KEY.SHARD .. entry[2], SHARD.CLOSED) or '-1'))
  reply[i] = table.concat(sums, ',')
end
return reply
