#!lua
-- Become the writer of a sink's keys: raise the epoch in its ledger, if nobody has done so since it was read.
--
-- KEYS  hash of the ledger, then keys to delete
-- ARGV  the epoch that was read, 1 to start over
--
-- Returns 1, or 0 if another process has opened it.

if (redis.call('HGET', KEYS[1], 'epoch') or '0') ~= ARGV[1] then
  return 0
end
if ARGV[2] == '1' then
  redis.call('DEL', unpack(KEYS))
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1] + 1)
return 1
