#!lua flags=allow-oom
-- Begin to count in records what a group still has to do of a stream.
--
-- KEYS  stream, hash of the counts
-- ARGV  group, field of what was appended, field of what the group has settled; then, where it was counted, the
--       value that field is to have if nobody has begun to count by now
--
-- Returns {1} where the count stands; else {0, appended, last delivered id, newest id}: what the group has before
-- it up to the newest id is still to be counted.
--#include place.lua

local stream, hash, name, appended, settled = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local group = place(stream, name)
if not group then
  return redis.error_reply("NOGROUP No such key '" .. stream .. "' or consumer group '" .. name .. "'")
end
local total = redis.call('HGET', hash, appended) or '0'
if group['pending'] == 0 and not undelivered(stream, group) then
  -- Also where the count stands already: somebody may have trimmed the stream, or moved the group.
  if redis.call('HGET', hash, settled) ~= total then
    redis.call('HSET', hash, settled, total)
  end
  return {1}
end
if redis.call('HGET', hash, settled) then
  return {1}
end
if ARGV[4] then
  redis.call('HSET', hash, settled, ARGV[4])
  return {1}
end
local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
return {0, total, group['last-delivered-id'], newest[1] and newest[1][1] or '0-0'}
