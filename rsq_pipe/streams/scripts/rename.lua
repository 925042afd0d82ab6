#!lua flags=allow-oom
-- Give a stage another name, all in one step: its keys, its groups with what is pending, its fields.
--
-- KEYS  hash, then what is renamed: old key, new key...; then the streams of the groups, by their new names
-- ARGV  old name, new name, how many pairs of keys, how many fields to set, these: field, value...,
--       then fields to rename: old field, new field...
--
-- Returns 1. Refuses, with nothing done, if a new key or field already exists.
--#include place.lua

local hash, old, new, pairs_of = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local renamed = 5 + 2 * ARGV[4]
for i = 2, 2 * pairs_of, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 and redis.call('EXISTS', KEYS[i + 1]) == 1 then
    return redis.error_reply('BUSYKEY ' .. KEYS[i + 1] .. ' is there already')
  end
end
for i = renamed, #ARGV, 2 do
  if redis.call('HEXISTS', hash, ARGV[i + 1]) == 1 then
    return redis.error_reply('BUSYKEY ' .. hash .. ' has a field ' .. ARGV[i + 1] .. ' already')
  end
end

for i = 2, 2 * pairs_of, 2 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i + 1])
  end
end
for i = 2 + 2 * pairs_of, #KEYS do
  local from = place(KEYS[i], old)
  if from then
    if not place(KEYS[i], new) then
      inherit(KEYS[i], from, new)
    end
    redis.call('XGROUP', 'DESTROY', KEYS[i], old)
  end
end
for i = renamed, #ARGV, 2 do
  local value = redis.call('HGET', hash, ARGV[i])
  if value then
    redis.call('HSET', hash, ARGV[i + 1], value)
    redis.call('HDEL', hash, ARGV[i])
  end
end
for i = 5, renamed - 1, 2 do
  redis.call('HSET', hash, ARGV[i], ARGV[i + 1])
end
return 1
