#!lua flags=allow-oom
-- Delete a pipeline's keys in one step, unless someone else runs it: what a run stores in one step, records
-- and the position after them, for example, is deleted together or not at all.
--
-- KEYS  hash of the pipeline, set of its runs, then every other key
-- ARGV  name of the run that asks, seconds after which a run counts as ended, how many names of processes known
--       not to exist, these names, then fields to set in the hash again, each with its
--       value
--
-- Returns {how many keys were deleted, name...} with the names of those that run it; if any do, nothing is deleted.

local time = redis.call('TIME')
local since = string.format('(%.6f', time[1] + time[2] / 1000000 - ARGV[2])
local ended = {[ARGV[1]] = true}
local last = 3 + ARGV[3]
for i = 4, last do
  ended[ARGV[i]] = true
end
local reply = {0}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], since, '+inf')) do
  if not ended[name] then
    reply[#reply + 1] = name
  end
end
if #reply > 1 then
  return reply
end

for i = 1, #KEYS do
  if i ~= 2 then
    reply[1] = reply[1] + redis.call('UNLINK', KEYS[i])
  end
end
for i = last + 1, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
return reply
