#!lua flags=allow-oom
-- Release a consumer's entries: make them look long idle, so that the next reclaim takes them at once.
-- A consumer that holds nothing is removed.
--
-- KEYS  stream
-- ARGV  group, consumer, idle milliseconds to set, 1 to take back the last delivery of each entry: it was given up
--       in good order, which says nothing against the entry; 2 to do so except for a first delivery: the next
--       consumer to get the entry has to see that someone had it before
--
-- Returns how many entries were handed back.

local handed, start = 0, '-'
while true do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], start, '+', 500, ARGV[2])
  for _, entry in ipairs(pending) do
    local deliveries = entry[4]
    if (ARGV[4] == '1' and deliveries > 0) or (ARGV[4] == '2' and deliveries > 1) then
      deliveries = deliveries - 1
    end
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'IDLE', ARGV[3], 'RETRYCOUNT', deliveries, 'JUSTID')
    start = '(' .. entry[1]
  end
  handed = handed + #pending
  if #pending < 500 then
    break
  end
end
if handed == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return handed
