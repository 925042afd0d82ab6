#!lua flags=allow-oom
-- Resume a paused stage.
--
-- KEYS  the pipeline's hash
-- ARGV  field of the pause, field that counts how often it was resumed
--
-- Returns the pause; false where there is none.

local hash, field, resumed = KEYS[1], ARGV[1], ARGV[2]
local hold = redis.call('HGET', hash, field)
if hold then
  -- A process that is about to pause the stage for what it saw before finds it counted.
  redis.call('HINCRBY', hash, resumed, 1)
  redis.call('HDEL', hash, field)
end
return hold
