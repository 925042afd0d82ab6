#!lua flags=allow-oom
-- Move entries that a group has not done to another stream, each in one step: pending ones first, then new ones.
-- allow-oom: what is written is acknowledged where it stood.
--
-- KEYS  stream, target stream
-- ARGV  group, a consumer's name, how many at most
--
-- Returns how many were moved; 0 where nothing is left.
--#include place.lua

if not place(KEYS[1], ARGV[1]) then
  return 0
end
local most = tonumber(ARGV[3])
local pending, entries = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', most), {}
for _, one in ipairs(pending) do
  local found = redis.call('XRANGE', KEYS[1], one[1], one[1])
  if #found == 0 then
    redis.call('XACK', KEYS[1], ARGV[1], one[1])  -- it was deleted by somebody
  else
    entries[#entries + 1] = found[1]
  end
end
if #pending == 0 then
  local reply = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', most, 'STREAMS', KEYS[1], '>')
  entries = reply and reply[1] and reply[1][2] or {}
end
for _, entry in ipairs(entries) do
  redis.call('XADD', KEYS[2], '*', unpack(entry[2]))
  redis.call('XACK', KEYS[1], ARGV[1], entry[1])
end
return math.max(#pending, #entries)
