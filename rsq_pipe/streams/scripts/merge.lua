-- Merge partials of a group: rsq_pipe/model/partials.py in Lua. Included by the scripts that store them.
--
--   merged(kinds, old, new)  both are msgpack [partial...], one for each letter of `kinds`; returns the same.
--                            With a gap in front, `300000~cs`, both are the sessions of a group.
--                            `old` is false if there is none. It is called before anything is written.

local merging = {}

-- Texts are compared by their bytes: `<` would use the server's locale.
local function compared_bytes(one, other)
  local most = math.min(#one, #other)
  for at = 1, most do
    local a, b = one:byte(at), other:byte(at)
    if a ~= b then
      return a < b and -1 or 1
    end
  end
  return #one < #other and -1 or (#one > #other and 1 or 0)
end

function merging.c(one, other)
  return one + other
end

-- An exact sum: [type, doubles that do not overlap...]; see model/exact_sum.py.
function merging.s(one, other)
  local kind = math.max(one[1], other[1])
  local parts, size = {}, #one - 1
  for at = 1, size do
    parts[at] = one[at + 1]
  end
  for at = 2, #other do
    local added, kept = other[at], 0
    for i = 1, size do
      local high, low = added, parts[i]
      if math.abs(high) < math.abs(low) then
        high, low = low, high
      end
      added = high + low
      local rest = low - (added - high)
      if rest ~= 0 then
        kept = kept + 1
        parts[kept] = rest
      end
    end
    if added ~= 0 then
      kept = kept + 1
      parts[kept] = added
    end
    size = kept
  end
  local sum = {kind}
  for at = 1, size do
    sum[at + 1] = parts[at]
  end
  return sum
end

-- Numbers are [whether whole, doubles from the largest], and sort before texts; see model/extreme.py.
local function compared(one, other)
  local text, others = type(one) == 'string', type(other) == 'string'
  if text and others then
    return compared_bytes(one, other)
  elseif text or others then
    return text and 1 or -1
  end
  for at = 2, math.max(#one, #other) do
    local a, b = one[at] or 0, other[at] or 0
    if a ~= b then
      return a < b and -1 or 1
    end
  end
  return 0
end

local function extreme(one, other, wanted)
  if not one or not other then
    return one or other
  end
  local order = compared(other, one)
  local whole = order == 0 and type(one) == 'table' and other[1] > one[1]
  return (order == wanted or whole) and other or one
end

function merging.n(one, other)
  return extreme(one, other, -1)
end

function merging.x(one, other)
  return extreme(one, other, 1)
end

-- Values with their place in time: [when, sort key of the record id, value as JSON].
local function placed(one, other, wanted)
  if not one or not other then
    return one or other
  end
  local order = 0
  if other[1] ~= one[1] then
    order = other[1] < one[1] and -1 or 1
  end
  for at = 2, 3 do
    if order == 0 then
      order = compared_bytes(other[at], one[at])
    end
  end
  return order == wanted and other or one
end

function merging.f(one, other)
  return placed(one, other, -1)
end

function merging.l(one, other)
  return placed(one, other, 1)
end

-- Bins of a sketch: [bin, how many, bin, how many...], ascending; see model/sketch.py.
local MAX_BINS = 2048

local function bins(one, other)
  local flat, i, k = {}, 1, 1
  while i <= #one or k <= #other do
    local a, b = one[i] or math.huge, other[k] or math.huge
    local many = 0
    if a <= b then
      many, i = many + one[i + 1], i + 2
    end
    if b <= a then
      many, k = many + other[k + 1], k + 2
    end
    flat[#flat + 1], flat[#flat + 2] = math.min(a, b), many
  end
  local over = #flat / 2 - MAX_BINS
  if over <= 0 then
    return flat
  end
  local kept, lost = {}, 0
  for at = 2, 2 * over, 2 do
    lost = lost + flat[at]
  end
  for at = 2 * over + 1, #flat do
    kept[#kept + 1] = flat[at]
  end
  kept[2] = kept[2] + lost
  return kept
end

function merging.q(one, other)
  return {one[1] + other[1], bins(one[2], other[2]), bins(one[3], other[3])}
end

-- A count of different values: [0, hashes joined] or [1, registers]; see model/distinct.py.
local HASH, EXACT, REGISTERS = 8, 512, 4096

-- Find a hash's register, from 1, and its value: the leading zeros of its other 52 bits, plus one.
local function register(hash)
  local a, b = hash:byte(1, 2)
  local at = a * 16 + math.floor(b / 16)
  local bits, byte, place = 4, b % 16, 3
  local rank = 1
  while true do
    if byte > 0 then
      local top = 2 ^ (bits - 1)
      while byte < top do
        top, rank = top / 2, rank + 1
      end
      return at + 1, rank
    end
    rank = rank + bits
    if place > HASH then
      return at + 1, rank
    end
    byte, bits, place = hash:byte(place), 8, place + 1
  end
end

-- Raise some registers, given by place; usually none of them is raised at all.
local function raised(registers, to)
  local places = {}
  for at, rank in pairs(to) do
    if registers:byte(at) < rank then
      places[#places + 1] = at
    end
  end
  if #places == 0 then
    return registers
  end
  table.sort(places)
  local pieces, from = {}, 1
  for _, at in ipairs(places) do
    pieces[#pieces + 1] = registers:sub(from, at - 1)
    pieces[#pieces + 1] = string.char(to[at])
    from = at + 1
  end
  pieces[#pieces + 1] = registers:sub(from)
  return table.concat(pieces)
end

local function ranks(hashes, to)
  for at = 1, #hashes, HASH do
    local place, rank = register(hashes:sub(at, at + HASH - 1))
    if (to[place] or 0) < rank then
      to[place] = rank
    end
  end
  return to
end

local function united(one, other)
  local known, more = {}, {one}
  for at = 1, #one, HASH do
    known[one:sub(at, at + HASH - 1)] = true
  end
  for at = 1, #other, HASH do
    local hash = other:sub(at, at + HASH - 1)
    if not known[hash] then
      more[#more + 1] = hash
    end
  end
  return table.concat(more)
end

function merging.d(one, other)
  if one[1] == 0 and other[1] == 0 then
    local all = united(one[2], other[2])
    if #all <= EXACT * HASH then
      return {0, all}
    end
    return {1, raised(string.rep('\0', REGISTERS), ranks(all, {}))}
  elseif one[1] == 0 then
    one, other = other, one
  end
  if other[1] == 0 then
    return {1, raised(one[2], ranks(other[2], {}))}
  end
  local to = {}
  for at = 1, REGISTERS do
    to[at] = other[2]:byte(at)
  end
  return {1, raised(one[2], to)}
end

-- Merges the partials of `other` into those of `one`, which come after `before` other values.
local function merge_partials(kinds, one, other, before)
  for at = 1, #kinds do
    one[before + at] = merging[kinds:sub(at, at)](one[before + at], other[before + at])
  end
end

-- Sessions: [[first, last, partial...]...], in order; those with less than the gap between them become one.
-- They are merged, since to sort them takes as long as everything else if thousands are open.
local function merge_sessions(kinds, gap, one, other)
  local found, count, at = {}, 0, 1
  local function add(session)
    local before = found[count]
    if before and session[1] - before[2] < gap then
      before[2] = math.max(before[2], session[2])
      merge_partials(kinds, before, session, 2)
    else
      count = count + 1
      found[count] = session
    end
  end
  for _, session in ipairs(other) do
    while one[at] and one[at][1] <= session[1] do
      add(one[at])
      at = at + 1
    end
    add(session)
  end
  for rest = at, #one do
    add(one[rest])
  end
  return found
end

local function merged(kinds, old, new)
  if not old then
    return new
  end
  local one, other = cmsgpack.unpack(old), cmsgpack.unpack(new)
  local gap, of_sessions = kinds:match('^(%d+)~(.*)$')
  if gap then
    one = merge_sessions(of_sessions, gap + 0, one, other)
  else
    merge_partials(kinds, one, other, 0)
  end
  return cmsgpack.pack(one)
end
