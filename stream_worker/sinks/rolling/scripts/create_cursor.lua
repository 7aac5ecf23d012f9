-- Create the cursor of a partition if there is none; answer with what is stored.
-- ARGV: log name, partition, start, watermark, floor. Reply: next, watermark.
local log, p, start, watermark, floor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local stored = redis.call('HMGET', cursors, 'next:' .. p, 'wm:' .. p)
if stored[1] then return stored end

local c = redis.call('HMGET', ctl, 'floor', 'sealed')
-- The first cursor of a log decides which incarnation the group is on. An older one has its hash
-- already and never switches it back.
if redis.call('EXISTS', cursors) == 0 then
  redis.call('HSET', ctl, 'incarnation', log, 'partitions', '0')
end
redis.call('HSET', cursors, 'next:' .. p, start, 'wm:' .. p, watermark)
if c[1] then floor = math.max(floor, tonumber(c[1])) end
redis.call('HSET', ctl, 'floor', int(floor))
if not c[2] then redis.call('HSET', ctl, 'sealed', int(floor)) end
return {start, watermark}
