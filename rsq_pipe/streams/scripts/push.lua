#!lua
-- Append entries once, however often this is sent: the receipt remembers the last push of a producer's lane.
--
-- KEYS  stream, receipt
-- ARGV  token of this push, seconds to keep the receipt, length limit of the stream (0: none),
--       then per entry: how many fields and values, and these
--
-- Returns the ids.
--#include rights.lua
--#include floor.lua

local refused = denied('XADD', '*', 'f', 'v') or denied('SET', 'v')
if refused then
  return refused
end
local token, ttl, bound = ARGV[1], ARGV[2], tonumber(ARGV[3])
local receipt = redis.call('GET', KEYS[2])
if receipt then
  local ids = {}
  for word in receipt:gmatch('%S+') do
    ids[#ids + 1] = word
  end
  local latest = table.remove(ids, 1)
  if latest == token then
    return ids
  end
  -- A repetition that was delayed on the network while its lane went on: it was stored, or given up, long ago.
  if tonumber(latest) > tonumber(token) then
    return redis.error_reply('STALE push ' .. token .. ' comes after push ' .. latest)
  end
end

local starts, at = {}, 4
while at <= #ARGV do
  starts[#starts + 1] = at
  at = at + 1 + tonumber(ARGV[at])
end
if bound > 0 and redis.call('XLEN', KEYS[1]) + #starts > bound then
  -- What all groups have acknowledged may be trimmed; what any of them needs is never trimmed to make room.
  local lowest = floor(KEYS[1], {})
  if lowest then
    redis.call('XTRIM', KEYS[1], 'MINID', '=', lowest)
  end
  if redis.call('XLEN', KEYS[1]) + #starts > bound then
    return redis.error_reply('STREAMFULL ' .. ARGV[3] .. ' ' .. KEYS[1])
  end
end

local ids = {}
for i, start in ipairs(starts) do
  ids[i] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, start + 1, start + tonumber(ARGV[start])))
end
redis.call('SET', KEYS[2], token .. ' ' .. table.concat(ids, ' '), 'EX', ttl)
return ids
