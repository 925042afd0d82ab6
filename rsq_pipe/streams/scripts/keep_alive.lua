#!lua flags=allow-oom
-- Reset the idle time of those entries in flight that are still this consumer's: a stale worker steals nothing back.
--
-- KEYS  stream
-- ARGV  group, consumer, id...
--
-- Returns how many are still this consumer's.

local alive = 0
for i = 3, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    alive = alive + 1
  end
end
return alive
