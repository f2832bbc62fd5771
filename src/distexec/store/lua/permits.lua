-- Share permits out: `distexec.scheduling.permits.share_out`, by this clock.
-- KEYS  1 permits: by session and executor, 'HELD EXPIRES SINCE UNTIL', instants in microseconds
-- ARGV  1 session and executor  2 limit  3 permits held  4 more that are wanted  5 expiry, us
--       6 patience, us
-- Returns the time, how many more it has now, and who else may have one and waits for it.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
  redis.call('DEL', KEYS[1]) -- None of us wrote it.
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local who, limit, held, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local free, since, line = limit - held, now, {}
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local name = fields[index]
  local has, expires, began, ends = string.match(fields[index + 1], '^(%d+) (%d+) (%d+) (%d+)$')
  has, expires, began, ends = tonumber(has), tonumber(expires), tonumber(began), tonumber(ends)
  if name == who then
    if ends and ends > now then
      since = began
    end
  elseif not (ends and string.match(name, '^%x+ %d+$')) then
    redis.call('HDEL', KEYS[1], name) -- None of us wrote it.
  else
    local holds, waits = has > 0 and expires > now, ends > now
    if holds then
      free = free - has
    end
    if waits then
      line[#line + 1] = { began, name }
    end
    if not (holds or waits) then
      redis.call('HDEL', KEYS[1], name)
    end
  end
end
local function before(one, other)
  return one[1] < other[1] or (one[1] == other[1] and one[2] < other[2])
end
table.sort(line, before)
local ahead = 0
for _, place in ipairs(line) do
  ahead = ahead + (before(place, { since, who }) and 1 or 0)
end
local granted = math.max(0, math.min(wanted, free - ahead))
if granted > 0 then
  since = now -- Behind the others, for what it still wants.
end
local waits = wanted > granted
if held + granted > 0 or waits then
  local times = { held + granted, now + ARGV[5], waits and since or 0, waits and now + ARGV[6] or 0 }
  redis.call('HSET', KEYS[1], who, string.format('%.0f %.0f %.0f %.0f', unpack(times)))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[5] / 1000))
else
  redis.call('HDEL', KEYS[1], who)
end
local answer = { now, granted }
for index = 1, math.min(#line, math.max(0, free - granted)) do
  answer[#answer + 1] = line[index][2]
end
return answer
