-- Move a cursor over records that are gone, by compare-and-set; raise the floor.
-- ARGV: partition, expected, to, watermark, floor. Reply: next, watermark; both nil when there is no cursor.
local p, expected, to, watermark, floor = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local stored = redis.call('HMGET', cursors, 'next:' .. p, 'wm:' .. p)
if stored[1] ~= expected then return stored end

watermark = int(math.max(watermark, tonumber(stored[2])))
local old_floor = redis.call('HGET', ctl, 'floor')
if old_floor then floor = math.max(floor, tonumber(old_floor)) end
redis.call('HSET', cursors, 'next:' .. p, to, 'wm:' .. p, watermark, 'alive:' .. p, int(now))
redis.call('HDEL', cursors, 'proof:' .. p)
redis.call('HSET', ctl, 'floor', int(floor))
return {to, watermark}
