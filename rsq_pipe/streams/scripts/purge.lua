#!lua flags=allow-oom
-- Delete entries, and count them.
--
-- KEYS  stream, receipt, hash with counters
-- ARGV  token of this call, seconds to keep the receipt, counter's field, id...
--
-- Returns {deleted, left because a group of the stream has them in flight}; the rest no longer existed.
--#include removal.lua

local reply = earlier() or wrong_counter()
if reply then
  return reply
end
local deleted, kept = 0, 0
for i = 4, #ARGV do
  local id = ARGV[i]
  if #redis.call('XRANGE', KEYS[1], id, id) > 0 then
    if held(id) then
      kept = kept + 1
    else
      deleted = deleted + redis.call('XDEL', KEYS[1], id)
    end
  end
end
return done(deleted, kept)
