local now_us = (function() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end)()
-- The notifier's scripts begin with this file; the tables of `keys.py` stand behind its first line. It writes
-- nothing: a notifier that lives says nothing about the workers, whose prelude notes when a script ran last.
local now = math.floor(now_us / 1000)
local control = KEYS[1]
local root = string.sub(control, 1, -1 - #KEY.CONTROL)
local outbox, frozen = root .. KEY.OUTBOX, root .. KEY.FROZEN

local version = redis.call('HGET', control, CONTROL.FORMAT_VERSION)
if version and version ~= FORMAT_VERSION then
  return redis.error_reply(
    'SWFORMAT ' .. control .. ' has format version ' .. version .. ', not ' .. FORMAT_VERSION)
end
