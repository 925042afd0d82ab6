#!lua flags=allow-oom
-- End a batch in one step: check, write, acknowledge. Lua does not roll back, so every check stands before the
-- first write. allow-oom: a full server must still drain, and draining means writing before acknowledging.
--
-- KEYS  every key the arguments name by its place here
-- ARGV  group, consumer, how many notes a journal keeps
--       counters: place of a hash or 0, name prefix
--       counts:   how many hashes, then each: place, how many fields, then (field, amount) each
--       drops:    how many reasons a hash may hold by name, the field for those beyond them, then as counts
--       position: place of a hash or 0, field, expected value, new value
--       targets:  how many, then (place, type) each
--       inputs:   how many streams, then (place, how many ids) each
--       state:    of a stage, checked and written with the rest; see state.lua
--       parts:    until the end: how many runs of entries, then each: place, delivery count, how many ids, ids,
--                 dropped records, records that left through a sink, how many writes, then each write:
--                   o place n field...   an output        d place n field...   a dead letter
--                   r place delay member a retry, due in `delay` milliseconds
--                   j place n field...   a note in a journal
--                   s place n w name...  n outputs with the same w names: w values each follow
--                 or, for a run of parts of one entry and one output each, alike but for their values:
--                   * place, place of the output, how many names, name..., how many parts,
--                   then (id, delivery count, value per name) each
--
-- Returns {1, {fenced part...}, {key, id... of entries that are not the consumer's}, {new value per count...}}
-- (parts count from 0), or {0, stored value} if the position was another, or {2, 'stale' or 'full'} if the state was.
--#include rights.lua

local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end
local function count()
  return tonumber(take())
end

local function amounts()
  local found = {}
  for i = 1, count() do
    local hash = {place = count()}
    for k = 1, count() do
      hash[k] = {take(), count()}
    end
    found[i] = hash
  end
  return found
end

local group, consumer, kept = take(), take(), take()
local counters, prefix = count(), take()
local counts = amounts()
local most, rest = count(), take()
local drops = amounts()
local position, field, expected, new = count(), take(), take(), take()

local refused = denied('XADD', '*', 'f', 'v') or denied('XACK', 'g', '0-0') or denied('ZADD', 0, 'm')
  or denied('HINCRBY', 'f', 1) or denied('HSET', 'f', 'v')
if refused then
  return refused
end

for _ = 1, count() do
  local key, want = KEYS[count()], take()
  local found = redis.call('TYPE', key)['ok']
  if found ~= 'none' and found ~= want then
    return redis.error_reply('WRONGTYPE ' .. key .. ' holds a ' .. found .. ', not a ' .. want)
  end
end

local function no_number(key, field)
  return redis.error_reply('WRONGTYPE ' .. key .. ' has a value in ' .. field .. ' that is not a number')
end

for _, hash in ipairs(counts) do
  for _, pair in ipairs(hash) do
    local value = redis.call('HGET', KEYS[hash.place], pair[1])
    if value and not value:match('^%-?%d+$') then
      return no_number(KEYS[hash.place], pair[1])
    end
  end
end

for _, hash in ipairs(drops) do
  local known, names = {}, 0  -- the reasons that have a field of their own
  local flat = redis.call('HGETALL', KEYS[hash.place])
  for i = 1, #flat, 2 do
    if not flat[i + 1]:match('^%-?%d+$') then
      return no_number(KEYS[hash.place], flat[i])
    end
    known[flat[i]] = true
    if flat[i] ~= rest then
      names = names + 1
    end
  end
  for _, pair in ipairs(hash) do
    if not known[pair[1]] then
      if names < most then
        known[pair[1]], names = true, names + 1
      else
        pair[1] = rest
      end
    end
  end
end

-- A counter that is not a number would stop the script after its writes and before its acknowledgements.
if counters > 0 then
  local names = {prefix .. 'in', prefix .. 'out', prefix .. 'dropped', prefix .. 'retried', prefix .. 'dead'}
  for i, value in ipairs(redis.call('HMGET', KEYS[counters], unpack(names))) do
    if value and not value:match('^%-?%d+$') then
      return redis.error_reply('WRONGTYPE ' .. KEYS[counters] .. ' has a value in ' .. names[i] .. ' that is not a number')
    end
  end
end

if position > 0 then
  local stored = redis.call('HGET', KEYS[position], field) or ''
  if stored ~= expected then
    return {0, stored}
  end
end

-- Owner and delivery count of the batch's entries. A consumer holds little besides its batch, so reading as many
-- of its pending entries as the batch has nearly always gives the batch. If the reply is full and lacks an
-- entry, that one is requested alone.
local owned, full = {}, {}
for _ = 1, count() do
  local place, n = take(), count()
  local pending = redis.call('XPENDING', KEYS[place + 0], group, '-', '+', n, consumer)
  local counts = {}
  for i = 1, #pending do
    counts[pending[i][1]] = pending[i][4]
  end
  owned[place], full[place] = counts, #pending == n
end

local state_at = count()
local check_state, write_state
if state_at > 0 then  -- few settlements have a state: the others do not make its functions
--#include merge.lua
--#include state.lua
end

local gone = {}
local sure = false  -- whether it is known that all entries are the consumer's
local function holds(place, id, deliveries)
  if sure then
    return true
  end
  local found = owned[place][id]
  if not found and full[place] then
    local pending = redis.call('XPENDING', KEYS[place + 0], group, id, id, 1, consumer)
    found = pending[1] and pending[1][4]
  end
  if found and (deliveries == '0' or found == deliveries + 0) then
    return true
  end
  gone[#gone + 1], gone[#gone + 2] = KEYS[place + 0], id
  return false
end

local now
local function due(delay)
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return string.format('%.0f', now + delay)
end

local acks, ranges, dropped, delivered = {}, {}, 0, 0
local written = {o = 0, r = 0, d = 0, j = 0}
local settled, first, last = 0, at, #ARGV

local function note(place, id)
  local ids = acks[place]
  if not ids then
    ids = {}
    acks[place] = ids
  end
  ids[#ids + 1] = id
end

-- Each of the next two reads arguments by place and not by take(): they are most of what a settlement costs.
-- They write what is whole, or only find what is not, and return where they ended and the next part's number.

local function walk_run(at, part, fenced, write)
  local place, key, width = ARGV[at + 2], KEYS[ARGV[at + 3] + 0], tonumber(ARGV[at + 4])
  local fields = {}
  for i = 1, width do
    fields[2 * i - 1] = ARGV[at + 4 + i]
  end
  at = at + 5 + width
  for number = part, part + ARGV[at] - 1 do
    local id = ARGV[at + 1]
    if not holds(place, id, ARGV[at + 2]) then
      fenced[#fenced + 1] = number
    elseif write then
      for i = 1, width do
        fields[2 * i] = ARGV[at + 2 + i]
      end
      redis.call('XADD', key, '*', unpack(fields))
      note(place, id)
      settled, written.o = settled + 1, written.o + 1
    end
    at = at + 2 + width
    part = number + 1
  end
  return at, part
end

local function walk_rows(at, key, count, writing)
  local width, fields = tonumber(ARGV[at + 1]), {}
  for i = 1, width do
    fields[2 * i - 1] = ARGV[at + 1 + i]
  end
  at = at + 1 + width
  for _ = 1, writing and count or 0 do
    for i = 1, width do
      fields[2 * i] = ARGV[at + i]
    end
    redis.call('XADD', key, '*', unpack(fields))
    at = at + width
  end
  if writing then
    written.o = written.o + count
    return at
  end
  return at + count * width
end

local function walk_part(at, part, fenced, write)
  local runs, from, ours = tonumber(ARGV[at + 1]), at + 2, true
  at = at + 1
  for _ = 1, runs do
    local place, deliveries, n = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
    at = at + 3
    for i = 1, sure and 0 or n do
      ours = holds(place, ARGV[at + i], deliveries) and ours
    end
    at = at + n
  end
  if not ours then
    fenced[#fenced + 1] = part
  end
  local writing = ours and write
  if writing then
    dropped, delivered = dropped + ARGV[at + 1], delivered + ARGV[at + 2]
    for _ = 1, runs do
      local n = tonumber(ARGV[from + 2])
      settled = settled + n
      ranges[#ranges + 1] = {ARGV[from], from + 3, from + 2 + n}
      from = from + 3 + n
    end
  end
  local writes = tonumber(ARGV[at + 3])
  at = at + 3
  for _ = 1, writes do
    local kind, key, size = ARGV[at + 1], KEYS[ARGV[at + 2] + 0], tonumber(ARGV[at + 3])
    at = at + 3
    if kind == 's' then
      at = walk_rows(at, key, size, writing)
    elseif writing then
      written[kind] = written[kind] + 1
      if kind == 'r' then
        redis.call('ZADD', key, due(size), ARGV[at + 1])
      elseif kind == 'j' then
        redis.call('XADD', key, 'MAXLEN', '~', kept, '*', unpack(ARGV, at + 1, at + size))
      else
        redis.call('XADD', key, '*', unpack(ARGV, at + 1, at + size))
      end
    end
    if kind ~= 's' then
      at = at + (kind == 'r' and 1 or size)
    end
  end
  return at, part + 1
end

local function walk(write)
  local at, part, fenced = first, 0, {}
  while at < last do
    local step = ARGV[at + 1] == '*' and walk_run or walk_part
    at, part = step(at, part, fenced, write)
  end
  return fenced
end

if position > 0 or state_at > 0 or #counts > 0 or #drops > 0 then
  -- A position, a state, and what is counted stand for all of the batch: written only if nothing was taken over.
  local fenced = walk(false)
  if #fenced > 0 then
    return {1, fenced, gone, {}}
  end
  sure = true
end
if check_state then
  refused = denied('HDEL', 'f') or denied('SADD', 'm') or denied('UNLINK') or denied('ZREM', 'm')
  if refused then
    return refused
  end
  local why = check_state()
  if why ~= '' then
    return {2, why}
  end
end
local fenced = walk(true)

if write_state then
  write_state()
end
if position > 0 then
  redis.call('HSET', KEYS[position], field, new)
end
if counters > 0 then
  local tally = {['in'] = settled, out = written.o + delivered, dropped = dropped, retried = written.r, dead = written.d}
  for name, amount in pairs(tally) do
    if amount > 0 then
      redis.call('HINCRBY', KEYS[counters], prefix .. name, amount)
    end
  end
end
local totals = {}
for _, hash in ipairs(counts) do
  for _, pair in ipairs(hash) do
    totals[#totals + 1] = redis.call('HINCRBY', KEYS[hash.place], pair[1], pair[2])
  end
end
for _, hash in ipairs(drops) do
  for _, pair in ipairs(hash) do
    redis.call('HINCRBY', KEYS[hash.place], pair[1], pair[2])
  end
end
-- Last: an entry leaves its stream's pending list only when all that it became is written.
for place, ids in pairs(acks) do
  redis.call('XACK', KEYS[place + 0], group, unpack(ids))
end
for _, range in ipairs(ranges) do
  redis.call('XACK', KEYS[range[1] + 0], group, unpack(ARGV, range[2], range[3]))
end
return {1, fenced, gone, totals}
