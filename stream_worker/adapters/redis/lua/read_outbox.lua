-- Read the outbox and how brands stand, as of one moment (docs/design.md#deliver).
-- ARGV: brands as JSON [[brand, shard]].
-- Reply: now, {id, body} flat, {id, frozen message} flat, and in the order of the brands {closed, episode record
--        or ""} flat; closed is "" when the key of the shard is of another type.
local ids = redis.call('HKEYS', outbox)
table.sort(ids) -- an id begins with its brand's hash: what is cut off is whole brands
local many = math.min(#ids, LIMIT.OUTBOX_ENTRIES)
if many < #ids then
  local brand, whole = string.sub(ids[many + 1], 1, LIMIT.BRAND_KEY_CHARS), many
  while whole > 0 and string.sub(ids[whole], 1, LIMIT.BRAND_KEY_CHARS) == brand do whole = whole - 1 end
  if whole > 0 then many = whole end
end

local entries, messages, views = {}, {}, {}
for i = 1, many do
  table.insert(entries, ids[i])
  table.insert(entries, redis.call('HGET', outbox, ids[i]))
  local message = redis.call('HGET', frozen, ids[i])
  if message then
    table.insert(messages, ids[i])
    table.insert(messages, message)
  end
end
for _, pair in ipairs(cjson.decode(ARGV[1])) do
  local shard = redis.pcall('HMGET', root .. KEY.SHARD .. pair[2], SHARD.CLOSED, SHARD.EPISODE .. pair[1])
  if shard.err then
    if not string.find(shard.err, 'WRONGTYPE', 1, true) then return shard end
    shard = {''}
  end
  table.insert(views, shard[1] or '-1')
  table.insert(views, shard[2] or '')
end
return {now, entries, messages, views}
