-- Create the cursor of a partition if there is none; answer with what is stored.
-- ARGV: log name, partition, start, watermark, complete_from. Reply: next, watermark.
local log, p, start, watermark, complete_from = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local stored = redis.call('HMGET', cursors, CURSOR.NEXT .. p, CURSOR.WATERMARK .. p)
if stored[1] then return stored end

local c = redis.call('HMGET', control, CONTROL.COMPLETE_FROM, CONTROL.SEALED, CONTROL.LOG)
complete_from = math.max(complete_from, control_integer(c[1], CONTROL.COMPLETE_FROM, complete_from))
-- The first cursor of all says which log the group is on. From then on only a seal changes it: this request may
-- be late, and its log deleted long ago.
if not c[3] then redis.call('HSET', control, CONTROL.LOG, log, CONTROL.PARTITIONS, '0') end
redis.call('HSET', cursors, CURSOR.NEXT .. p, start, CURSOR.WATERMARK .. p, watermark)
redis.call('HSET', control, CONTROL.COMPLETE_FROM, int(complete_from))
if not c[2] then redis.call('HSET', control, CONTROL.SEALED, int(complete_from)) end
return {start, watermark}
