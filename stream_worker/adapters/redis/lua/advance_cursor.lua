-- Move a cursor over records that are gone, by compare-and-set; raise complete_from.
-- ARGV: partition, expected, to, watermark, complete_from. Reply: next, watermark; both nil when there is no cursor.
local p, expected, to = ARGV[1], ARGV[2], ARGV[3]
local watermark, complete_from = tonumber(ARGV[4]), tonumber(ARGV[5])

local stored = redis.call('HMGET', cursors, CURSOR.NEXT .. p, CURSOR.WATERMARK .. p)
if stored[1] ~= expected then return stored end

watermark = int(math.max(watermark, tonumber(stored[2])))
local old_complete_from = redis.call('HGET', control, CONTROL.COMPLETE_FROM)
if old_complete_from then complete_from = math.max(complete_from, tonumber(old_complete_from)) end
redis.call('HSET', cursors, CURSOR.NEXT .. p, to, CURSOR.WATERMARK .. p, watermark, CURSOR.ALIVE .. p, int(now))
redis.call('HDEL', cursors, CURSOR.PROOF .. p)
redis.call('HSET', control, CONTROL.COMPLETE_FROM, int(complete_from))
return {to, watermark}
