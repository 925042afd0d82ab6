#!lua flags=allow-oom
-- Delete what a stage holds: acknowledge what its groups have not done, up to an id, and delete keys and fields.
--
-- KEYS  hash, then streams, then keys to delete
-- ARGV  group, how many streams, the last id to remove per stream, then fields to delete
--
-- Returns 1.
--#include place.lua

local streams = tonumber(ARGV[2])
for i = 1, streams do
  local stream, last = KEYS[1 + i], ARGV[2 + i]
  local group = place(stream, ARGV[1])
  while group do
    local pending = redis.call('XPENDING', stream, ARGV[1], '-', '+', 1000)
    for _, entry in ipairs(pending) do
      redis.call('XACK', stream, ARGV[1], entry[1])
    end
    if #pending < 1000 then
      break
    end
  end
  if group and #redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], last, 'COUNT', 1) > 0 then
    redis.call('XGROUP', 'SETID', stream, ARGV[1], last)
  end
  -- If the records the group has settled are counted, the group has now settled all there are.
  local settled = 'settled:' .. ARGV[1] .. ':' .. stream
  if redis.call('HEXISTS', KEYS[1], settled) == 1 then
    redis.call('HSET', KEYS[1], settled, redis.call('HGET', KEYS[1], 'appended:' .. stream) or '0')
  end
end
for i = 2 + streams, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
for i = 3 + streams, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
return 1
