-- A group's place in a stream: the last entry delivered, and what is pending.

local function place(stream, name)
  if redis.call('EXISTS', stream) == 0 then
    return nil
  end
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #info, 2 do
      group[info[i]] = info[i + 1]
    end
    if group['name'] == name then
      return group
    end
  end
end

local function undelivered(stream, group)
  return #redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', 1) > 0
end

-- Make a group where another one is, with that one's pending entries, their owners and delivery counts.
local function inherit(stream, from, heir)
  local read = from['entries-read']
  if read then
    redis.call('XGROUP', 'CREATE', stream, heir, from['last-delivered-id'], 'ENTRIESREAD', read)
  else
    redis.call('XGROUP', 'CREATE', stream, heir, from['last-delivered-id'])
  end
  local start = '-'
  while true do
    local page = redis.call('XPENDING', stream, from['name'], start, '+', 1000)
    for _, entry in ipairs(page) do
      local id, consumer, idle, count = entry[1], entry[2], entry[3], entry[4]
      redis.call('XCLAIM', stream, heir, consumer, 0, id, 'IDLE', idle, 'RETRYCOUNT', count, 'FORCE', 'JUSTID')
      start = '(' .. id
    end
    if #page < 1000 then
      return
    end
  end
end
