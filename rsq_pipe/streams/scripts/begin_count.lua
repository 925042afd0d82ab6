#!lua flags=allow-oom
-- Begin to count, in records, what a group still has to do in a stream.
--
-- KEYS  stream, hash of the counts
-- ARGV  group, field of what was appended, field of what the group has settled; then, if it was counted, the
--       value to give that field unless the count has begun meanwhile
--
-- Returns {1} if the count has begun; else {0, appended, last delivered id, newest id}: the entries after the
-- last delivered id, up to the newest, are still to be counted.
--#include place.lua

local stream, hash, name, appended, settled = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local group = place(stream, name)
if not group then
  return redis.error_reply("NOGROUP No such key '" .. stream .. "' or consumer group '" .. name .. "'")
end
local total = redis.call('HGET', hash, appended) or '0'
if group['pending'] == 0 and not undelivered(stream, group) then
  -- Even if the count has begun already: someone may have trimmed the stream, or moved the group.
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
