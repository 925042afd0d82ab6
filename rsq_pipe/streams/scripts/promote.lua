#!lua flags=allow-oom
-- Move records whose next attempt is due from the retry set to the stage's own stream.
--
-- KEYS  retry set, stream
-- ARGV  how many at most
--
-- Returns {moved, milliseconds until the next one is due or -1}.
--#include rights.lua

local refused = denied('XADD', '*', 'f', 'v') or denied('ZREM', 'm')
if refused then
  return refused
end
local kind = redis.call('TYPE', KEYS[2])['ok']
if kind ~= 'none' and kind ~= 'stream' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[2] .. ' holds a ' .. kind .. ', not a stream')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  redis.call('XADD', KEYS[2], '*', unpack(cmsgpack.unpack(member), 2))
  redis.call('ZREM', KEYS[1], member)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #first == 0 then
  return {#due, -1}
end
return {#due, math.max(0, tonumber(first[2]) - now)}
