#!lua flags=allow-oom
-- Let other groups of a stream begin where one group is, with its pending entries, and end that one.
--
-- KEYS  stream, hash with the marks of groups and the counts of the records they have settled
-- ARGV  group, heir...
--
-- Returns 1; 0 if the group was already gone; -1, with nothing done, if it holds something and there is
-- no heir.
--#include place.lua

local stream, marks, name = KEYS[1], KEYS[2], ARGV[1]

-- The field that counts the stream's records that a group has settled.
local function settled(group)
  return 'settled:' .. group .. ':' .. stream
end

local from = place(stream, name)
if from and #ARGV == 1 and (from['pending'] > 0 or undelivered(stream, from)) then
  return -1
end
local count = redis.call('HGET', marks, settled(name))
if from then
  for i = 2, #ARGV do
    if not place(stream, ARGV[i]) then
      inherit(stream, from, ARGV[i])
      if count then
        redis.call('HSET', marks, settled(ARGV[i]), count)
      else
        redis.call('HDEL', marks, settled(ARGV[i]))
      end
    end
    redis.call('HSET', marks, 'group:' .. ARGV[i] .. ':' .. stream, '1')
  end
  if #ARGV == 1 then
    -- A stage that comes back must not repeat what it did.
    redis.call('HSET', marks, 'left:' .. name .. ':' .. stream, from['last-delivered-id'])
  end
  redis.call('XGROUP', 'DESTROY', stream, name)
end
redis.call('HDEL', marks, 'group:' .. name .. ':' .. stream, settled(name))
return from and 1 or 0
