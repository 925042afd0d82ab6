#!lua flags=allow-oom
-- Trim what every group of a stream has acknowledged, and nothing else.
--
-- KEYS  stream
-- ARGV  milliseconds to keep acknowledged entries, '~' or '=' (whole nodes, or to the entry), required group...
--
-- Returns how many entries were removed.
--#include floor.lua

local keep, how, required = tonumber(ARGV[1]), ARGV[2], {}
for i = 3, #ARGV do
  required[#required + 1] = ARGV[i]
end
local lowest = floor(KEYS[1], required)
if not lowest then
  return 0
end
if keep > 0 then
  local oldest = string.format('%.0f-0', redis.call('TIME')[1] * 1000 - keep)
  if before(oldest, lowest) then
    lowest = oldest
  end
end
return redis.call('XTRIM', KEYS[1], 'MINID', how, lowest)
