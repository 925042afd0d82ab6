-- Which of these are members of any of several sets.
--
-- KEYS  the sets
-- ARGV  the members
--
-- Returns their places in ARGV, counted from 0, ascending.

local PAGE = 1000  -- members per command: unpack() has a limit

local places = {}
for first = 1, #ARGV, PAGE do
  local last = math.min(first + PAGE - 1, #ARGV)
  local known = {}
  for _, key in ipairs(KEYS) do
    for i, is in ipairs(redis.call('SMISMEMBER', key, unpack(ARGV, first, last))) do
      if is == 1 then
        known[i] = true
      end
    end
  end
  for i = 1, last - first + 1 do
    if known[i] then
      places[#places + 1] = first + i - 2
    end
  end
end
return places
