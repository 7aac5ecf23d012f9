-- Seal the minutes that every partition has passed, in order; trim what is closed (docs/design.md#minutes).
-- ARGV: log name, partition count, lateness, max_hold, name of an older log or "". Times in ms.
-- Reply: sealed, complete_from, watermark taken, minutes sealed incomplete, now, excluded partitions,
--       {partition, stored watermark} flat of those not excluded, idle partitions, closed of the slowest shard that
--       can be read, the log that the group is on if that is another one ("": none yet, or ours), and damaged
--       fields (kind, key, field; flat).
local log, partitions = ARGV[1], tonumber(ARGV[2])
local lateness, max_hold = tonumber(ARGV[3]), tonumber(ARGV[4])

local c = redis.call('HMGET', control, CONTROL.LOG, CONTROL.SEALED, CONTROL.COMPLETE_FROM, CONTROL.PARTITIONS,
  CONTROL.NEWEST_SEALED_WITH_MENTIONS, CONTROL.RETURNED_MS, CONTROL.TRIMMED, CONTROL.MODELS)
local sealed = control_integer(c[2], CONTROL.SEALED, 0)
local complete_from = control_integer(c[3], CONTROL.COMPLETE_FROM, 0)
local last_data = control_integer(c[5], CONTROL.NEWEST_SEALED_WITH_MENTIONS)
local returned = control_integer(c[6], CONTROL.RETURNED_MS, 0)
local trimmed = control_integer(c[7], CONTROL.TRIMMED, 0)
local closed, all_known = math.huge, true
for k = 0, LIMIT.SHARDS - 1 do
  local of_shard = closed_of(k)
  closed, all_known = math.min(closed, of_shard or math.huge), all_known and of_shard ~= nil
end
if closed == math.huge then closed = -1 end
if c[1] ~= log then
  -- The caller may take the group from a log that it knows to be older: by compare-and-set on its name, so
  -- that this moves forward only, however late or often it comes.
  if not c[1] or c[1] ~= ARGV[5] then
    return {sealed, complete_from, 0, 0, now, {}, {}, {}, closed, c[1] or '', damaged}
  end
else
  partitions = math.max(partitions, control_integer(c[4], CONTROL.PARTITIONS, 0)) -- never falls within a log
end

-- 1. The minimum of the effective watermarks, without the partitions that are excluded.
local seen = {}
local excluded, idle, watermarks = {}, {}, {}
local target, excluded_low = math.huge, math.huge
for p = 0, partitions - 1 do
  local s = redis.call('HMGET', cursors,
    CURSOR.NEXT .. p, CURSOR.WATERMARK .. p, CURSOR.ALIVE .. p, CURSOR.PROOF .. p, CURSOR.SEEN .. p)
  local seen_at, watermark = integer(s[5]), integer(s[2])
  if not seen_at then
    seen_at = now
    table.insert(seen, p)
  end
  local effective, idle_here = -math.huge, false
  if s[1] and watermark then -- a damaged one is unknown: its partition has stopped, and will be excluded
    effective = watermark
    local cursor, t0 = string.match(s[4] or '', '^(%d+),(%-?%d+)$')
    if cursor == s[1] then -- an older proof says nothing about the records that came since
      effective, idle_here = math.max(effective, tonumber(t0) - lateness), true
    end
  end
  local base = math.max(integer(s[3]) or 0, seen_at, returned)
  if now - base > max_hold then
    table.insert(excluded, p)
    excluded_low = math.min(excluded_low, effective)
  else
    target = math.min(target, effective)
    if s[1] and watermark then
      table.insert(watermarks, p)
      table.insert(watermarks, s[2])
    end
    if idle_here then table.insert(idle, p) end
  end
end
local may_move = target > -math.huge and target < math.huge -- huge: all are excluded, and nothing moves
local target_minute = may_move and target - target % MINUTE_MS or sealed

-- 2. Which minutes? Empty ones count until 24 h after the last one with data; a longer gap is a hole,
--    passed in one step. This depends on the log alone, so live and catch-up mark the same minutes.
local function next_with_mentions(from, to)
  local at = 0
  while true do
    local found = redis.call('ZRANGEBYSCORE', minutes, int(from), '(' .. int(to), 'LIMIT', at, LIMIT.MINUTES_AT_ONCE)
    for _, minute in ipairs(found) do
      local mentions = read_contained('minute', 'HGET', root .. KEY.MINUTE .. minute, MINUTE.MENTIONS)
      if mentions then return tonumber(minute) end
    end
    if #found < LIMIT.MINUTES_AT_ONCE then return to end
    at = at + LIMIT.MINUTES_AT_ONCE
  end
end

local function in_order(models)
  local names = {}
  for name in string.gmatch(models or '', '[^,]+') do table.insert(names, name) end
  table.sort(names)
  return table.concat(names, ',')
end

local sealing, incomplete = {}, 0 -- {minute, complete, models}
for _ = 1, LIMIT.SEALS do
  if sealed >= target_minute then break end
  -- A minute of another type is passed without a seal id: nobody evaluates it.
  local stored = read_contained('minute', 'HMGET', minute_key(sealed), MINUTE.MENTIONS, MINUTE.MODELS)
  local has_mentions, models = unpack(stored or {})
  if has_mentions then last_data = sealed end
  if not stored then
    incomplete, sealed = incomplete + 1, sealed + MINUTE_MS
  elseif has_mentions or (last_data and sealed <= last_data + KEPT_MS.HOLE_AFTER) then
    local complete = excluded_low >= sealed + MINUTE_MS and sealed >= complete_from
    if not complete then incomplete = incomplete + 1 end
    table.insert(sealing, {sealed, complete and '1' or '0', in_order(models)})
    sealed = sealed + MINUTE_MS
  else
    sealed = next_with_mentions(sealed, target_minute)
  end
end

-- 3. What may go: minutes long before the slowest shard's close, and names whose hash expired. A shard whose
--    close is not known keeps all.
local keep_from, trimming = (all_known and closed or -1) - KEPT_MS.MINUTE, {}
local oldest = redis.call('ZRANGEBYSCORE', minutes, '-inf', '(' .. int(sealed), 'LIMIT', 0, LIMIT.TRIMS)
for _, minute in ipairs(oldest) do
  if tonumber(minute) >= keep_from and redis.call('EXISTS', root .. KEY.MINUTE .. minute) == 1 then break end
  table.insert(trimming, minute)
  trimmed = math.max(trimmed, tonumber(minute) + MINUTE_MS)
end
if #trimming < LIMIT.TRIMS then trimmed = math.max(trimmed, keep_from) end

-- 4. Which models scored, minute by minute, wherever that changed: for whoever reads the series.
local changes_key, changed, newest_models = root .. KEY.MODEL_CHANGES, {}, c[8]
for _, s in ipairs(sealing) do
  if s[3] ~= '' and s[3] ~= newest_models then
    newest_models = s[3]
    table.insert(changed, s)
  end
end
local old_changes = {}
if #changed > 0 and read('HLEN', changes_key) + #changed > LIMIT.MODEL_CHANGES then
  old_changes = redis.call('HKEYS', changes_key)
  table.sort(old_changes, function(one, other) return tonumber(one) < tonumber(other) end)
end

-- 5. Write.
for _, s in ipairs(changed) do redis.call('HSET', changes_key, int(s[1]), s[3]) end
for i = 1, #old_changes + #changed - LIMIT.MODEL_CHANGES do redis.call('HDEL', changes_key, old_changes[i]) end
if #changed > 0 then redis.call('HSET', control, CONTROL.MODELS, newest_models) end
if #sealing > 0 then redis.call('EXPIRE', changes_key, TTL_S.MODEL_CHANGES) end
for _, p in ipairs(seen) do redis.call('HSET', cursors, CURSOR.SEEN .. p, int(now)) end
for _, s in ipairs(sealing) do
  local key = minute_key(s[1])
  -- The seal id names this very seal: a close that was read before a rollback finds another one.
  local seal_id = int(now_us) .. '-' .. int(s[1])
  redis.call('HSET', key, MINUTE.SEAL_ID, seal_id, MINUTE.COMPLETE, s[2], MINUTE.SEALED_AT_MS, int(now))
  redis.call('HSETNX', key, MINUTE.MODELS, '')
  redis.call('ZADD', minutes, int(s[1]), int(s[1]))
  redis.call('EXPIRE', key, TTL_S.MINUTE)
end
for _, minute in ipairs(trimming) do
  redis.call('UNLINK', root .. KEY.MINUTE .. minute)
  redis.call('ZREM', minutes, minute)
end
complete_from = math.max(complete_from, sealed - KEPT_MS.HISTORY_OF_HOURS)
redis.call('HSET', control, CONTROL.LOG, log, CONTROL.PARTITIONS, int(partitions), CONTROL.SEALED, int(sealed))
redis.call('HSET', control, CONTROL.COMPLETE_FROM, int(complete_from), CONTROL.TRIMMED, int(trimmed))
if last_data then redis.call('HSET', control, CONTROL.NEWEST_SEALED_WITH_MENTIONS, int(last_data)) end
return {sealed, complete_from, may_move and target or 0, incomplete, now, excluded, watermarks, idle, closed, '', damaged}
