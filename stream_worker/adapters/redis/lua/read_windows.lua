-- Read what the windows of some brands are made of, at once: a close in between would count a minute twice.
-- ARGV: JSON {hours: [[hour, its minutes]], days: [[day, its hours]], unclosed: [minute],
--       networks: [network], brands: [[brand, shard]]}; starts are decimal strings.
-- Reply: per brand its sums as one text, ten numbers for each minute, each hour and each unclosed minute.
local MEASURES = {'n', 'neg', 'neu', 'pos', 'uncertain', 'unscored', 'sum', 'repeats', 'voices', 'neg_voices'}
local NOTHING = '0,0,0,0,0,0,0,0,0,0'
local asked = cjson.decode(ARGV[1])

local function add_history(sums, kind, keys, brand)
  for _, key in ipairs(keys) do
    local name = root .. kind .. key[1] .. ':' .. brand
    for _, value in ipairs(read('HMGET', name, unpack(key[2]))) do sums[#sums + 1] = value or NOTHING end
  end
end

-- On-time counts are in the minute's hash until the shard has closed it; late ones are in history already.
local function add_unclosed(sums, brand, closed)
  local fields = {}
  for _, network in ipairs(asked.networks) do
    for _, measure in ipairs(MEASURES) do fields[#fields + 1] = measure .. ':' .. network .. ':' .. brand end
  end
  for _, minute in ipairs(asked.unclosed) do
    if tonumber(minute) < closed then
      sums[#sums + 1] = NOTHING
    else
      local total = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
      for i, value in ipairs(read('HMGET', root .. ':m:' .. minute, unpack(fields))) do
        if value then
          local measure = (i - 1) % 10 + 1
          total[measure] = total[measure] + value
        end
      end
      for measure = 1, 10 do total[measure] = int(total[measure]) end
      sums[#sums + 1] = table.concat(total, ',')
    end
  end
end

local reply = {}
for i, entry in ipairs(asked.brands) do
  local sums = {}
  add_history(sums, ':hm:', asked.hours, entry[1])
  add_history(sums, ':hd:', asked.days, entry[1])
  add_unclosed(sums, entry[1], tonumber(read('HGET', root .. ':shard:' .. entry[2], 'closed') or '-1'))
  reply[i] = table.concat(sums, ',')
end
return reply
