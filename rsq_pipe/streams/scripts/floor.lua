-- The lowest entry id that some group of a stream still needs; nil if that is unknown.

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

-- The id just before one.
local function prior(id)
  local ms, seq = id:match('^(%d+)-(%d+)$')
  if seq == '0' then
    return string.format('%.0f', ms - 1) .. '-18446744073709551615'
  end
  return #seq > 15 and ms .. '-0' or ms .. '-' .. string.format('%.0f', seq - 1)
end

-- `required`: groups that must exist; a missing one needs everything, since it will be asked for.
-- `done`: a table that receives, per group, the id up to which it has acknowledged everything.
local function floor(stream, required, done)
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
    local last, needs = group['last-delivered-id'], after(group['last-delivered-id'])
    if group['pending'] > 0 then
      -- A group that was set back has older entries to read again than any it has pending.
      local oldest = redis.call('XPENDING', stream, group['name'])[2]
      if before(oldest, needs) then
        needs, last = oldest, prior(oldest)
      end
    end
    if done then
      done[group['name']] = last
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
