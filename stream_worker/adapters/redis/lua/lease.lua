-- Take a lease that is free, or renew one's own. ARGV: name, owner, time to live in ms. Reply: 1 or 0.
local key = root .. KEY.LEASE .. ARGV[1]
local owner = redis.call('GET', key)
if owner and owner ~= ARGV[2] then return 0 end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
return 1
