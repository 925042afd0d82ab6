#!lua flags=allow-oom
-- Record that a process runs a pipeline, and forget those silent for too long; all by the server's clock.
-- allow-oom: even on a full server, nobody may believe that a running pipeline is not being run.
--
-- KEYS  set of runs
-- ARGV  name of the process, seconds after which a process counts as ended
--
-- Returns how many processes count as running.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[1])
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now - ARGV[2]))
for i = 1, #ended do
  redis.call('ZREM', KEYS[1], ended[i])
end
return redis.call('ZCARD', KEYS[1])
