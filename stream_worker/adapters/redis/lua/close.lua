-- Write the evaluated minute of one shard: history, the detector's state and the outbox
-- (docs/design.md#minutes).
-- ARGV: shard, minute, expected closed, expected state id, seal id, detector, and as JSON {sums: [[brand, ten
--       integers]], numbers: [[brand, text]], episodes: [[brand, text or null]], outbox: [[id, text]]}.
-- Reply: 1, or 0 when anything that was read is not so any more: then nothing is changed; and damaged fields
--       of history (kind, key, field; flat): nothing was added to these.
local shard, minute = root .. KEY.SHARD .. ARGV[1], tonumber(ARGV[2])

local stored = redis.call('HMGET', shard, SHARD.CLOSED, SHARD.STATE_ID, SHARD.DETECTOR)
if (stored[1] or '-1') ~= ARGV[3] or (stored[2] or '') ~= ARGV[4] then return {0, {}} end
local seal_id = read_contained('minute', 'HGET', minute_key(minute), MINUTE.SEAL_ID)
if seal_id ~= ARGV[5] then return {0, {}} end

local body = cjson.decode(ARGV[7])
local outbox = root .. KEY.OUTBOX
local history = {}
read('HLEN', outbox)
for _, entry in ipairs(body.sums) do
  plan_history_of_minute(history, minute, entry[1], entry[2])
  plan_history_of_hour(history, minute, entry[1], entry[2])
end

write_history(history)
if stored[3] and stored[3] ~= ARGV[6] then -- the state of another detector means nothing to this one
  for _, field in ipairs(redis.call('HKEYS', shard)) do
    if string.sub(field, 1, #SHARD.STATE) == SHARD.STATE then redis.call('HDEL', shard, field) end
  end
end
for _, entry in ipairs(body.numbers) do redis.call('HSET', shard, SHARD.STATE .. entry[1], entry[2]) end
for _, entry in ipairs(body.episodes) do
  if entry[2] == cjson.null then
    redis.call('HDEL', shard, SHARD.EPISODE .. entry[1])
  else
    redis.call('HSET', shard, SHARD.EPISODE .. entry[1], entry[2])
  end
end
for _, entry in ipairs(body.outbox) do redis.call('HSETNX', outbox, entry[1], entry[2]) end
redis.call('HSET', shard, SHARD.CLOSED, int(minute + MINUTE_MS), SHARD.STATE_ID, ARGV[5], SHARD.DETECTOR, ARGV[6])

-- History that has become too old since the last close.
local function forget(kind, unit, age)
  local last = tonumber(ARGV[3]) - MINUTE_MS
  local from = last - age
  from = from - from % unit + unit
  for start = from, math.min(minute - age, last), unit do
    for _, entry in ipairs(body.sums) do
      redis.call('UNLINK', root .. kind .. int(start) .. ':' .. entry[1])
    end
  end
end
if ARGV[3] ~= '-1' then
  forget(KEY.HISTORY_OF_MINUTES, HOUR_MS, KEPT_MS.HISTORY_OF_MINUTES)
  forget(KEY.HISTORY_OF_HOURS, DAY_MS, KEPT_MS.HISTORY_OF_HOURS)
end
return {1, damaged}
