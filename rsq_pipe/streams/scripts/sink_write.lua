#!lua
-- Write a batch of a sink and its ledger's row in one step. Lua does not roll back: types are checked first.
--
-- KEYS  hash of the ledger, then every key to write
-- ARGV  epoch, seq, settled, carried and rids of the row; the type that keys must have, empty for any;
--       then each write: place of its key among KEYS, how many words, command, word...
--
-- Returns {1} if it is written, by this call or an earlier one; {0} if another process has opened the sink;
-- {2, place...} if keys hold something else, in which case nothing was written.
--#include rights.lua

local ledger, want = KEYS[1], ARGV[6]
local row = redis.call('HMGET', ledger, 'epoch', 'seq')
if row[1] ~= ARGV[1] then
  return {0}
end
if row[2] == ARGV[2] then
  return {1}
end

if want ~= '' then
  local wrong = {2}
  for place = 2, #KEYS do
    local found = redis.call('TYPE', KEYS[place])['ok']
    if found ~= 'none' and found ~= want then
      wrong[#wrong + 1] = place
    end
  end
  if #wrong > 1 then
    return wrong
  end
end

local refused = denied('HSET', 'f', 'v')
local at, last, checked = 6, #ARGV, {}
while at < last and not refused do
  local command, words = ARGV[at + 3], ARGV[at + 2] + 0
  if not checked[command] then
    checked[command] = true
    refused = denied(command, unpack(ARGV, at + 4, at + 3 + words))
  end
  at = at + 3 + words
end
if refused then
  return refused
end

at = 6
while at < last do
  local key, words = KEYS[ARGV[at + 1] + 0], ARGV[at + 2] + 0
  redis.call(ARGV[at + 3], key, unpack(ARGV, at + 4, at + 3 + words))
  at = at + 3 + words
end
redis.call('HSET', ledger, 'seq', ARGV[2], 'settled', ARGV[3], 'carried', ARGV[4], 'rids', ARGV[5])
return {1}
