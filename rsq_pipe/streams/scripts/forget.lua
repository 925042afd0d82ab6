#!lua flags=allow-oom
-- Remove the names of dead consumers: those that have long been idle and hold nothing. Removing one that holds
-- entries would leave these entries new to nobody and pending for nobody: lost.
--
-- KEYS  stream
-- ARGV  group, idle milliseconds
--
-- Returns the names removed.

local gone = {}
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do
    consumer[info[i]] = info[i + 1]
  end
  if consumer['pending'] == 0 and consumer['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
    gone[#gone + 1] = consumer['name']
  end
end
return gone
