-- The state of a stage, a part of settle.lua: read, checked, written. Its arguments in ARGV:
--   place of the hash of scalars, place of the timers, the most keys the buckets may hold or 0,
--   how many checks, how many writes, then each of them: kind, place, extra, how many words, words
-- or 0 alone if the settlement has no state, in which case nothing here is run. The kinds are those of model/state.py.
--
-- check_state() returns '' if all checks hold, or why not; it also prepares what write_state() writes, so that
-- nothing can fail between two writes.

local PAGE = 1000  -- words per command: unpack() has a limit
local SOME = 100  -- fields whose values are held at once: each call costs more than its work for one field
local SHORT = 4096  -- up to how many bytes a value is read to find its length

local state = {key = KEYS[state_at], timers = KEYS[count()], most = count()}
local ops_of = {count(), count()}
for half = 1, 2 do
  local ops = {}
  for i = 1, ops_of[half] do
    local op = {kind = take(), key = KEYS[count()], extra = take()}
    local words = count()
    op.from, op.to = at + 1, at + words
    at = at + words
    ops[i] = op
  end
  state[half] = ops
end

-- Calls act(first, last) for the words of an op, in portions.
local function pages(op, act)
  for first = op.from, op.to, PAGE do
    act(first, math.min(first + PAGE - 1, op.to))
  end
end

-- Calls act(field, word, value) for each pair of an op's words; the value is false if the field does not exist.
local function fields(op, act)
  local asked = {}
  for first = op.from, op.to, 2 * SOME do
    local n = 0
    for i = first, math.min(first + 2 * SOME - 1, op.to), 2 do
      n = n + 1
      asked[n] = ARGV[i]
    end
    local values = redis.call('HMGET', op.key, unpack(asked, 1, n))
    for k = 1, n do
      act(asked[k], ARGV[first + 2 * k - 1], values[k])
    end
  end
end

local function members_among(op)
  local found = 0
  pages(op, function(first, last)
    for _, is in ipairs(redis.call('SMISMEMBER', op.key, unpack(ARGV, first, last))) do
      found = found + is
    end
  end)
  return found
end

local check = {}

function check.equals(op)
  for i = op.from, op.to, 2 do
    if redis.call('HGET', op.key, ARGV[i]) ~= ARGV[i + 1] then
      return false
    end
  end
  return true
end

function check.absent(op)
  for i = op.from, op.to do
    if redis.call('HEXISTS', op.key, ARGV[i]) == 1 then
      return false
    end
  end
  return true
end

function check.lacks(op)
  return members_among(op) == 0
end

function check.lengths(op)
  local asked, long = {}, {}
  for first = op.from, op.to, 2 * SOME do
    local n = 0
    for i = first, math.min(first + 2 * SOME - 1, op.to), 2 do
      if ARGV[i + 1] + 0 <= SHORT then
        n = n + 1
        asked[n], long[n] = ARGV[i], ARGV[i + 1] + 0
      elseif redis.call('HSTRLEN', op.key, ARGV[i]) ~= ARGV[i + 1] + 0 then
        return false
      end
    end
    local values = n > 0 and redis.call('HMGET', op.key, unpack(asked, 1, n)) or {}
    for k = 1, n do
      if #(values[k] or '') ~= long[k] then
        return false
      end
    end
  end
  return true
end

-- How many keys a bucket that is deleted holds.
local function size_of(key)
  local kind = redis.call('TYPE', key)['ok']
  return kind == 'set' and redis.call('SCARD', key) or kind == 'hash' and redis.call('HLEN', key) or 0
end

-- How many more keys the writes leave, at most or exactly.
local function added(exactly)
  local n = 0
  for _, op in ipairs(state[2]) do
    local words = op.to - op.from + 1
    if op.size then
      n = n - op.size
    elseif op.kind == 'add' then
      n = n + words - (exactly and members_among(op) or 0)
    elseif op.kind == 'delete' and op.key ~= state.key then
      for i = op.from, exactly and op.to or 0 do
        n = n - redis.call('HEXISTS', op.key, ARGV[i])
      end
    elseif op.key ~= state.key and (op.kind == 'set' or op.kind == 'append' or op.kind == 'merge') then
      n = n + words / 2
      for i = op.from, exactly and op.to or 0, 2 do
        n = n - redis.call('HEXISTS', op.key, ARGV[i])
      end
    end
  end
  return n
end

local function number_in(field)
  local value = redis.call('HGET', state.key, field)
  if value and not tonumber(value) then
    error('WRONGTYPE ' .. state.key .. ' has a value in ' .. field .. ' that is not a number')
  end
  return tonumber(value or 0)
end

local prepare = {}

function prepare.merge(op)
  op.made = {}
  fields(op, function(field, word, value)
    op.made[#op.made + 1], op.made[#op.made + 2] = field, merged(op.extra, value, word)
  end)
end

prepare['raise'] = function(op)
  op.made = {}
  for i = op.from, op.to, 2 do
    local held = redis.call('HEXISTS', op.key, ARGV[i]) == 1 and number_in(ARGV[i])
    if not held or held < tonumber(ARGV[i + 1]) then
      op.made[#op.made + 1], op.made[#op.made + 2] = ARGV[i], ARGV[i + 1]
    end
  end
end

function prepare.count(op)
  for i = op.from, op.to, 2 do
    number_in(ARGV[i])
  end
end

function check_state()
  for _, op in ipairs(state[1]) do
    if not check[op.kind](op) then
      return 'stale'
    end
  end
  for _, op in ipairs(state[2]) do
    if op.kind == 'unlink' or op.kind == 'evict' then
      op.size = size_of(op.key)
    end
  end
  -- If there are too many already, because the limit was lowered, fewer are still fewer.
  local room = math.max(0, state.most - number_in('keys'))
  number_in('evicted')
  number_in('version')
  if state.most > 0 and added(false) > room and added(true) > room then
    return 'full'
  end
  for _, op in ipairs(state[2]) do
    if prepare[op.kind] then
      prepare[op.kind](op)
    end
  end
  return ''
end

-- Each returns how many more keys the buckets hold.
local write = {}

function write.set(op)
  local new = 0
  pages(op, function(first, last)
    new = new + redis.call('HSET', op.key, unpack(ARGV, first, last))
  end)
  return new
end

function write.delete(op)
  local gone = 0
  pages(op, function(first, last)
    gone = gone + redis.call('HDEL', op.key, unpack(ARGV, first, last))
  end)
  return -gone
end

function write.add(op)
  local new = 0
  pages(op, function(first, last)
    new = new + redis.call('SADD', op.key, unpack(ARGV, first, last))
  end)
  return new
end

-- Writes fields and values in turn, in portions.
local function put(key, made)
  local new = 0
  for first = 1, #made, 2 * SOME do
    new = new + redis.call('HSET', key, unpack(made, first, math.min(first + 2 * SOME - 1, #made)))
  end
  return new
end

function write.append(op)
  local made = {}
  fields(op, function(field, word, value)
    made[#made + 1], made[#made + 2] = field, value and value .. word or word
  end)
  return put(op.key, made)
end

function write.merge(op)
  return put(op.key, op.made)
end

write['raise'] = function(op)
  if #op.made > 0 then
    redis.call('HSET', op.key, unpack(op.made))
  end
  return 0
end

function write.count(op)
  for i = op.from, op.to, 2 do
    redis.call('HINCRBY', op.key, ARGV[i], ARGV[i + 1])
  end
  return 0
end

function write.timer(op)
  pages(op, function(first, last)
    if op.extra == '' then
      redis.call('ZADD', op.key, unpack(ARGV, first, last))
    else
      redis.call('ZADD', op.key, op.extra, unpack(ARGV, first, last))
    end
  end)
  return 0
end

function write.forget(op)
  pages(op, function(first, last)
    redis.call('ZREM', op.key, unpack(ARGV, first, last))
  end)
  return 0
end

function write.unlink(op)
  redis.call('UNLINK', op.key)
  redis.call('ZREM', state.timers, op.extra)
  return -op.size
end

function write.evict(op)
  if op.size > 0 then
    redis.call('HINCRBY', state.key, 'evicted', op.size)
  end
  return write.unlink(op)
end

function write_state()
  local more = 0
  for _, op in ipairs(state[2]) do
    local new = write[op.kind](op)
    if op.key ~= state.key then
      more = more + new
    end
  end
  if more ~= 0 then
    redis.call('HINCRBY', state.key, 'keys', more)
  end
  if #state[2] > 0 then
    redis.call('HINCRBY', state.key, 'version', 1)
  end
end
