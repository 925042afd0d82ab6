-- The lowest entry id that some group of a stream still needs; nil where that cannot be told.

local function before(a, b)
  local a_ms, a_seq = a:match('^(%d+)-(%d+)$')
  local b_ms, b_seq = b:match('^(%d+)-(%d+)$')
  if a_ms ~= b_ms then
    return #a_ms < #b_ms or (#a_ms == #b_ms and a_ms < b_ms)
  end
  return #a_seq < #b_seq or (#a_seq == #b_seq and a_seq < b_seq)
end

local function after(id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  -- Beyond 2^53 a Lua number is no longer exact; keeping one entry too many is harmless.
  if #seq > 15 then
    return id
  end
  return ms .. '-' .. string.format('%.0f', seq + 1)
end

-- `required`: groups that must be there; a missing one needs everything, since it will be asked for.
local function floor(stream, required)
  if redis.call('EXISTS', stream) == 0 then
    return nil
  end
  local found, lowest = {}, nil
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #info, 2 do
      group[info[i]] = info[i + 1]
    end
    found[group['name']] = true
    local needs = after(group['last-delivered-id'])
    if group['pending'] > 0 then
      needs = redis.call('XPENDING', stream, group['name'])[2]
    end
    if not lowest or before(needs, lowest) then
      lowest = needs
    end
  end
  for _, name in ipairs(required) do
    if not found[name] then
      return nil
    end
  end
  return lowest
end
