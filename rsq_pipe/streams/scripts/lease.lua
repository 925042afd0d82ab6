#!lua flags=allow-oom
-- Take, renew or drop a lease. The epoch grows each time the lease changes hands: a fencing token.
--
-- KEYS  lease, epoch
-- ARGV  holder, milliseconds to hold it; 0 drops it
--
-- Returns {epoch, ''} for the holder, {0, holder} if another process holds it.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {0, holder}
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return {0, ''}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if holder then
  return {tonumber(redis.call('GET', KEYS[2]) or redis.call('INCR', KEYS[2])), ''}
end
return {redis.call('INCR', KEYS[2]), ''}
