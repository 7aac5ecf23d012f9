local now_us = (function() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end)()
-- The notifier's scripts begin with this file. It writes nothing: that a notifier lives is no sign of the
-- workers, whose prelude notes when one of their scripts ran last.
local now = math.floor(now_us / 1000)
local ctl = KEYS[1]
local root = string.sub(ctl, 1, -5) -- without ":ctl"
local outbox, fixed = root .. ':outbox', root .. ':fixed'

local version = redis.call('HGET', ctl, 'v')
if version and version ~= '1' then
  return redis.error_reply('SWFORMAT ' .. ctl .. ' has format version ' .. version .. ', not 1')
end
