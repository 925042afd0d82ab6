#!lua flags=allow-oom
-- Move an entry that a group has not done to another stream, as one entry, or as several: the records of a pack.
-- allow-oom: what is written is acknowledged where it was.
--
-- KEYS  stream, target stream, hash of the counts
-- ARGV  group, entry id, field that counts the records the group has settled, how many the entry holds,
--       then each entry to write: how many fields and values, these
--
-- Returns how many were written; 0 if the entry is no longer pending for the group.
--#include rights.lua

local refused = denied('XADD', '*', 'f', 'v') or denied('HINCRBY', 'f', 1) or denied('XACK', 'g', '0-0')
if refused then
  return refused
end
local stream, target, hash = KEYS[1], KEYS[2], KEYS[3]
local group, id, settled, records = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if #redis.call('XPENDING', stream, group, id, id, 1) == 0 then
  return 0
end
local written, at = 0, 4
while at < #ARGV do
  local n = tonumber(ARGV[at + 1])
  redis.call('XADD', target, '*', unpack(ARGV, at + 2, at + 1 + n))
  written, at = written + 1, at + 1 + n
end
if redis.call('HGET', hash, settled) then
  redis.call('HINCRBY', hash, settled, records)
end
redis.call('XACK', stream, group, id)
return written
