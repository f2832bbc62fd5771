-- Give the next instants of a rate limit: `distexec.scheduling.rate_limits.grant`, by this clock.
-- KEYS  1 rate: a hash of 'next', the instant of the next call, and 'seen', when somebody asked last
-- ARGV  1 interval  2 instants asked for  3 horizon  4 most instants ahead  5 6 unused instants: from
--       and up to; all in microseconds
-- Returns the time, the first instant, and how many there are from it on, an interval apart.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
  redis.call('DEL', KEYS[1]) -- None of us wrote it.
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, asked = tonumber(ARGV[1]), tonumber(ARGV[2])
local state = redis.call('HMGET', KEYS[1], 'next', 'seen')
local next_at, seen_at = tonumber(state[1] or now) or now, tonumber(state[2] or now) or now
local from, to = tonumber(ARGV[5]), tonumber(ARGV[6])
if from < to and to == next_at then
  next_at = from
end
next_at = next_at - math.max(0, seen_at - now)
if not (next_at <= now + ARGV[4] * interval) then
  next_at = now
end
local first = math.max(next_at, now)
local ahead = math.floor((now + ARGV[3] - first) / interval) + 1
local count = math.min(asked, math.max(1, ahead))
if count > 0 then
  next_at = first + count * interval
end
if next_at <= now then
  redis.call('DEL', KEYS[1]) -- As if nobody had asked.
else
  redis.call('HSET', KEYS[1], 'next', string.format('%.0f', next_at), 'seen', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', (next_at - now) / 1000 + 1000))
end
return { now, first, count }
