#!lua flags=allow-oom
-- Deliver entries to their handler again, counting the delivery of those that are still this consumer's. A bare
-- XCLAIM would steal them back from a consumer that took them over in the meantime.
--
-- KEYS  stream
-- ARGV  group, consumer, the delivery from which an entry is delivered alone, the delivery at which it is withheld
--       (because the process has other things in flight; 0: it has none), id...
--
-- Returns {how many of the ids were dealt with, {id, delivery count, {field...}}...}; an id that was dealt with
-- but has no entry was deleted, acknowledged, or belongs to another consumer.

local alone_from, isolate_at = tonumber(ARGV[3]), tonumber(ARGV[4])
local found = {0}
for i = 5, #ARGV do
  local id = ARGV[i]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  local alone = false
  if #pending > 0 then
    local deliveries = pending[1][4] + 1
    alone = deliveries >= alone_from
    if deliveries == isolate_at or (alone and #found > 1) then
      break
    end
    local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id)
    if #claimed > 0 and claimed[1] then
      found[#found + 1] = {id, deliveries, claimed[1][2]}
    else
      redis.call('XACK', KEYS[1], ARGV[1], id)
    end
  end
  found[1] = i - 4
  if alone then
    break
  end
end
return found
