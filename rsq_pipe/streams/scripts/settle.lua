#!lua flags=allow-oom
-- End a batch in one step: check, write, acknowledge. Lua does not roll back, so every check stands before the
-- first write. allow-oom: a full server must still drain, and draining means writing before acknowledging.
--
-- KEYS  every key the arguments name by its place here
-- ARGV  group, consumer
--       counters: place of a hash or 0, name prefix
--       position: place of a hash or 0, field, expected value, new value
--       targets:  how many, then (place, type) each
--       inputs:   how many streams, then (place, how many ids) each
--       parts:    until the end: how many entries, (place, id, delivery count) each,
--                 dropped records, records that left through a sink, how many writes, then each write:
--                   o place n field...   an output        d place n field...   a dead letter
--                   r place delay member a retry, due in `delay` milliseconds
--
-- Returns {1, fenced part...} (parts count from 0), or {0, stored value} if the position was another.

local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end
local function count()
  return tonumber(take())
end

local group, consumer = take(), take()
local counters, prefix = count(), take()
local position, field, expected, new = count(), take(), take(), take()

for _ = 1, count() do
  local key, want = KEYS[count()], take()
  local found = redis.call('TYPE', key)['ok']
  if found ~= 'none' and found ~= want then
    return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. found .. ', not a ' .. want)
  end
end

-- A counter that is no number would stop the script after its writes and before its acknowledgements.
if counters > 0 then
  local names = {prefix .. 'in', prefix .. 'out', prefix .. 'dropped', prefix .. 'retried', prefix .. 'dead'}
  for i, value in ipairs(redis.call('HMGET', KEYS[counters], unpack(names))) do
    if value and not value:match('^%-?%d+$') then
      return redis.error_reply('WRONGTYPE ' .. KEYS[counters] .. ' counts in ' .. names[i] .. ' what is no number')
    end
  end
end

if position > 0 then
  local stored = redis.call('HGET', KEYS[position], field) or ''
  if stored ~= expected then
    return {0, stored}
  end
end

-- Owner and delivery count of the batch's entries. A consumer holds little beside its batch, so as many of
-- its pending entries as the batch has are nearly always the batch. Where the reply is full and lacks an
-- entry, that one is asked for alone.
local owned, full = {}, {}
for _ = 1, count() do
  local place, n = count(), count()
  local pending = redis.call('XPENDING', KEYS[place], group, '-', '+', n, consumer)
  local counts = {}
  for i = 1, #pending do
    counts[pending[i][1]] = pending[i][4]
  end
  owned[place], full[place] = counts, #pending == n
end

local function holds(place, id, deliveries)
  local found = owned[place][id]
  if not found and full[place] then
    local pending = redis.call('XPENDING', KEYS[place], group, id, id, 1, consumer)
    found = pending[1] and pending[1][4]
  end
  return found and (deliveries == 0 or found == deliveries)
end

local parts, fenced, last = {}, {}, #ARGV
while at < last do
  local part = {entries = {}, whole = true}
  local n = count()
  for i = 1, n do
    local place, id, deliveries = count(), take(), count()
    part.entries[i] = {place, id}
    if part.whole and not holds(place, id, deliveries) then
      part.whole = false
    end
  end
  part.dropped, part.delivered = count(), count()
  part.writes = count()
  part.at = at
  for _ = 1, part.writes do
    local kind = take()
    if kind == 'r' then
      at = at + 3
    else
      at = at + 1
      local n = count()
      if n < 2 or n % 2 == 1 then
        return redis.error_reply('WRONGFIELDS an output has ' .. n .. ' names and values; they come in pairs')
      end
      at = at + n
    end
  end
  parts[#parts + 1] = part
  if not part.whole then
    fenced[#fenced + 1] = #parts - 1
  end
end

-- A position stands for all of its batch: it may only move if nothing was taken over meanwhile.
if position > 0 and #fenced > 0 then
  return {1, unpack(fenced)}
end

local now
local function due(delay)
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now + delay
end

local acks, tally = {}, {['in'] = 0, out = 0, dropped = 0, retried = 0, dead = 0}
for _, part in ipairs(parts) do
  if part.whole then
    at = part.at
    for _ = 1, part.writes do
      local kind, key = take(), KEYS[count()]
      if kind == 'r' then
        local delay, member = count(), take()
        redis.call('ZADD', key, string.format('%.0f', due(delay)), member)
        tally.retried = tally.retried + 1
      else
        local n = count()
        redis.call('XADD', key, '*', unpack(ARGV, at + 1, at + n))
        at = at + n
        if kind == 'o' then
          tally.out = tally.out + 1
        else
          tally.dead = tally.dead + 1
        end
      end
    end
    tally.dropped = tally.dropped + part.dropped
    tally.out = tally.out + part.delivered
    for _, entry in ipairs(part.entries) do
      local ids = acks[entry[1]]
      if not ids then
        ids = {}
        acks[entry[1]] = ids
      end
      ids[#ids + 1] = entry[2]
    end
    tally['in'] = tally['in'] + #part.entries
  end
end

if position > 0 then
  redis.call('HSET', KEYS[position], field, new)
end
if counters > 0 then
  for name, amount in pairs(tally) do
    if amount > 0 then
      redis.call('HINCRBY', KEYS[counters], prefix .. name, amount)
    end
  end
end
-- Last: an entry leaves its stream's pending list only when all that it became is written.
for place, ids in pairs(acks) do
  redis.call('XACK', KEYS[place], group, unpack(ids))
end
return {1, unpack(fenced)}
