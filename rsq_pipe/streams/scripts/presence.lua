#!lua flags=allow-oom
-- Show that a process runs a pipeline, and forget those that have not for too long; all by the server's clock.
-- allow-oom: on a full server, too, nobody may take a pipeline for one that nobody runs.
--
-- KEYS  set of runs
-- ARGV  name of the process, seconds after which one counts as ended
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
