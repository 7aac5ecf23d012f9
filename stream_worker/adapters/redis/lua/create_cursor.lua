-- Create the cursor of a partition if there is none; answer with what is stored.
-- ARGV: log name, partition, start, watermark, floor. Reply: next, watermark.
local log, p, start, watermark, floor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local stored = redis.call('HMGET', cursors, 'next:' .. p, 'wm:' .. p)
if stored[1] then return stored end

local c = redis.call('HMGET', ctl, 'floor', 'sealed', 'incarnation')
-- The first cursor of all says which log the group is on. From then on only a seal changes it: this request may
-- be late, and its log deleted long ago.
if not c[3] then redis.call('HSET', ctl, 'incarnation', log, 'partitions', '0') end
redis.call('HSET', cursors, 'next:' .. p, start, 'wm:' .. p, watermark)
if c[1] then floor = math.max(floor, tonumber(c[1])) end
redis.call('HSET', ctl, 'floor', int(floor))
if not c[2] then redis.call('HSET', ctl, 'sealed', int(floor)) end
return {start, watermark}
