#!lua flags=allow-oom
-- Hand one entry of this consumer to its handler again, counting the delivery, if the entry is still its own.
-- A bare XCLAIM would steal it back from a consumer that took it over in the meantime.
--
-- KEYS  stream
-- ARGV  group, consumer, id
--
-- Returns {delivery count, field...}, {0} if the entry was deleted, or nil if it is not this consumer's.

local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #pending == 0 then
  return nil
end
local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3])
if #claimed == 0 or not claimed[1] then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
  return {0}
end
return {pending[1][4] + 1, unpack(claimed[1][2])}
