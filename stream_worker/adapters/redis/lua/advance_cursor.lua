-- Move a cursor over records that are gone, by compare-and-set; raise complete_from.
-- ARGV: partition, expected, to, watermark, complete_from. Reply: next, watermark; both nil when there is no cursor.
local p, expected, to = ARGV[1], ARGV[2], ARGV[3]
local watermark, complete_from = tonumber(ARGV[4]), tonumber(ARGV[5])

local stored = redis.call('HMGET', cursors, CURSOR.NEXT .. p, CURSOR.WATERMARK .. p)
local stored_watermark = integer(stored[2])
if stored[1] ~= expected or not stored_watermark then return stored end

watermark = int(math.max(watermark, stored_watermark))
local old_complete_from = redis.call('HGET', control, CONTROL.COMPLETE_FROM)
complete_from = math.max(complete_from, control_integer(old_complete_from, CONTROL.COMPLETE_FROM, complete_from))
redis.call('HSET', cursors, CURSOR.NEXT .. p, to, CURSOR.WATERMARK .. p, watermark, CURSOR.ALIVE .. p, int(now))
redis.call('HDEL', cursors, CURSOR.PROOF .. p)
redis.call('HSET', control, CONTROL.COMPLETE_FROM, int(complete_from))
return {to, watermark}
