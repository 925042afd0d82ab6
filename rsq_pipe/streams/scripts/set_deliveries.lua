#!lua flags=allow-oom
-- Set the delivery counts of entries that are still this consumer's: a stale worker steals nothing
-- back.
--
-- KEYS  stream
-- ARGV  group, consumer, then for each entry its id and the count
--
-- Returns how many are still this consumer's.

local own = 0
for i = 3, #ARGV, 2 do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
    own = own + 1
  end
end
return own
