#!lua flags=allow-oom
-- Move entries to another stream, each in one step: it is in one stream or the other, never in both or neither.
-- allow-oom: what is written is deleted from where it was.
--
-- KEYS  stream, receipt, hash with counters, target stream
-- ARGV  token of this call, seconds to keep the receipt, counter's field,
--       how many groups must read the target, their names,
--       then per entry: id, how many names and values to write, and these
--
-- Returns {moved, left because a group of the stream has them in flight}; the rest no longer existed.
--#include rights.lua
--#include removal.lua

local reply = denied('XADD', '*', 'f', 'v') or denied('XDEL', '0-0') or denied('HINCRBY', 'f', 1) or denied('SET', 'v')
  or earlier() or wrong_counter()
if reply then
  return reply
end

local there = {}
if redis.call('EXISTS', KEYS[4]) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[4])) do
    there[info[2]] = true
  end
end
local at = 4 + tonumber(ARGV[4])
for i = 5, at do
  if not there[ARGV[i]] then
    return redis.error_reply("NOGROUP No such key '" .. KEYS[4] .. "' or consumer group '" .. ARGV[i] .. "'")
  end
end

local moved, kept = 0, 0
while at < #ARGV do
  local id, n = ARGV[at + 1], tonumber(ARGV[at + 2])
  if #redis.call('XRANGE', KEYS[1], id, id) > 0 then
    if held(id) then
      kept = kept + 1
    else
      redis.call('XADD', KEYS[4], '*', unpack(ARGV, at + 3, at + 2 + n))
      redis.call('XDEL', KEYS[1], id)
      moved = moved + 1
    end
  end
  at = at + 2 + n
end
return done(moved, kept)
