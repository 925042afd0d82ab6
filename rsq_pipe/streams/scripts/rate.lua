#!lua flags=allow-oom
-- Take tokens from a bucket, one per record, which may go below zero: whoever takes more than there are waits until
-- they would have been there, after those who took before. By the server's clock, which all processes share.
--
-- KEYS  bucket: `tokens left, seconds since 1970 of that`, deleted once it would be full
-- ARGV  records per second, tokens that the bucket holds, tokens to put back that were taken but not used,
--       tokens to take
--
-- Returns how many milliseconds to wait.

local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local kept = redis.call('GET', KEYS[1])
local left, at = burst, now
if kept then
  left, at = kept:match('^(%S+) (%S+)$')
end
-- A clock that was set back adds nothing and removes nothing.
left = math.min(burst, left + math.max(0, now - at) * rate)
left = math.min(burst, left + ARGV[3]) - ARGV[4]
if left >= burst then
  redis.call('DEL', KEYS[1])
  return 0
end
local full = math.min(1e12, (burst - left) / rate * 1000 + 1000)
redis.call('SET', KEYS[1], string.format('%.6f %.6f', left, now), 'PX', string.format('%.0f', full))
return left < 0 and math.ceil(-left / rate * 1000) or 0
