#!lua flags=allow-oom
-- Pause a stage until it is resumed, unless it has been resumed since its reason was seen.
--
-- KEYS  the pipeline's hash
-- ARGV  field of the pause, the pause, field that counts how often it was resumed, that number when the reason
--       was seen
--
-- Returns 1 where the stage is paused, by this or by whoever was first; 0 where it is not.

local hash, field, hold, resumed, seen = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if (redis.call('HGET', hash, resumed) or '0') ~= seen then
  return 0
end
if not redis.call('HGET', hash, field) then
  redis.call('HSET', hash, field, hold)
end
return 1
