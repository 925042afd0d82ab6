#!lua flags=allow-oom
-- Trim what every group of a stream has acknowledged, and nothing else.
--
-- KEYS  stream, and optionally a hash that records how far each required group is, in case one is lost.
--       If the hash counts a group's settled records, the count of a group that has nothing to do is corrected:
--       someone may have deleted entries by hand
-- ARGV  milliseconds to keep acknowledged entries, '~' or '=' (whole nodes, or to the entry), required group...
--
-- Returns how many entries were removed.
--#include floor.lua
--#include place.lua

local keep, how, required = tonumber(ARGV[1]), ARGV[2], {}
for i = 3, #ARGV do
  required[#required + 1] = ARGV[i]
end
local done = {}
local lowest = floor(KEYS[1], required, done)
if not lowest then
  return 0
end
if KEYS[2] then
  for _, name in ipairs(required) do
    local field = 'group:' .. name .. ':' .. KEYS[1]
    if redis.call('HGET', KEYS[2], field) ~= done[name] then
      redis.call('HSET', KEYS[2], field, done[name])
    end
    local counted = 'settled:' .. name .. ':' .. KEYS[1]
    local count, total = unpack(redis.call('HMGET', KEYS[2], counted, 'appended:' .. KEYS[1]))
    if count and count ~= (total or '0') then
      local group = place(KEYS[1], name)
      if group['pending'] == 0 and not undelivered(KEYS[1], group) then
        redis.call('HSET', KEYS[2], counted, total or '0')
      end
    end
  end
end
if keep > 0 then
  local oldest = string.format('%.0f-0', redis.call('TIME')[1] * 1000 - keep)
  if before(oldest, lowest) then
    lowest = oldest
  end
end
return redis.call('XTRIM', KEYS[1], 'MINID', how, lowest)
