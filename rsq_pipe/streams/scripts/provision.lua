#!lua flags=allow-oom
-- Make what a pipeline's stages need, in one step: its groups, a mark that each of them was made, and its graph.
--
-- A process that was paused after it looked at what the last run left may find that others have moved it. So the
-- same step checks whether it still counts as a run, and whether the last run is still the one it looked at.
--
-- KEYS  hash of the pipeline, set of its runs, then streams
-- ARGV  name of the run that asks, empty to check nothing; field and SHA-1 of the graph it has seen there, or of
--       an empty one; how many groups, then for each (place of the stream, group,
--       field of its mark, field that says where its stage left the stream, where to begin if no such field exists);
--       then field, value... to store
--
-- Returns {1}; {0} if the caller has to look again; {-1, which, from 1} for a group that was made and is gone.
-- In the last two cases nothing has changed.
--#include place.lua

local hash = KEYS[1]
if ARGV[1] ~= '' then
  local graph = redis.call('HGET', hash, ARGV[2]) or ''
  if not redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.sha1hex(graph) ~= ARGV[3] then
    return {0}
  end
end

local count = tonumber(ARGV[4])
local absent = {}
for i = 1, count do
  local at = 5 * i
  if not place(KEYS[ARGV[at] + 0], ARGV[at + 1]) then
    if redis.call('HGET', hash, ARGV[at + 2]) then
      return {-1, i}
    end
    absent[#absent + 1] = at
  end
end

for _, at in ipairs(absent) do
  local start = redis.call('HGET', hash, ARGV[at + 3]) or ARGV[at + 4]
  redis.call('XGROUP', 'CREATE', KEYS[ARGV[at] + 0], ARGV[at + 1], start, 'MKSTREAM')
end
for i = 1, count do
  local mark = ARGV[5 * i + 2]
  if not redis.call('HGET', hash, mark) then
    redis.call('HSET', hash, mark, '1')
  end
end
for i = 5 * count + 5, #ARGV, 2 do
  redis.call('HSET', hash, ARGV[i], ARGV[i + 1])
end
return {1}
