-- Shared by the scripts that take entries out of a stream for an operator, by moving or deleting them.
--
-- KEYS  stream, receipt, hash with counters
-- ARGV  token of this call, seconds to keep the receipt, counter's field

local function words(text)
  local found = {}
  for word in text:gmatch('%S+') do
    found[#found + 1] = word
  end
  return found
end

-- The reply to an earlier sending of this very call, in case that was lost.
local function earlier()
  local receipt = words(redis.call('GET', KEYS[2]) or '')
  if receipt[1] == ARGV[1] then
    return {tonumber(receipt[2]), tonumber(receipt[3])}
  end
end

-- A counter that is not a number would stop the script after its writes.
local function wrong_counter()
  local value = redis.call('HGET', KEYS[3], ARGV[3])
  if value and not value:match('^%-?%d+$') then
    return redis.error_reply('WRONGTYPE ' .. KEYS[3] .. ' has a value in ' .. ARGV[3] .. ' that is not a number')
  end
end

local reading
local function held(id)
  if not reading then
    reading = {}
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
      reading[#reading + 1] = info[2]
    end
  end
  for _, group in ipairs(reading) do
    if #redis.call('XPENDING', KEYS[1], group, id, id, 1) > 0 then
      return true
    end
  end
  return false
end

local function done(removed, kept)
  if removed > 0 then
    redis.call('HINCRBY', KEYS[3], ARGV[3], removed)
  end
  redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. removed .. ' ' .. kept, 'EX', ARGV[2])
  return {removed, kept}
end
