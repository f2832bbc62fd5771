-- Remember how long calls last; forget what is the oldest, where that is too much.
-- KEYS  1 history
-- ARGV  1 expiry, s  2 most records  then: name, frame, name, frame...
-- Returns nothing. A record is the server's clock, a blank, and the frame.
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
  redis.call('DEL', KEYS[1])
end
local time = redis.call('TIME')
local at = time[1] .. '.' .. string.format('%06d', time[2])
for index = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[index], at .. ' ' .. ARGV[index + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
if redis.call('HLEN', KEYS[1]) <= tonumber(ARGV[2]) then
  return
end
local fields, kept = redis.call('HGETALL', KEYS[1]), {}
for index = 1, #fields, 2 do
  kept[#kept + 1] = { tonumber(string.match(fields[index + 1], '^[%d.]+')) or 0, fields[index] }
end
table.sort(kept, function(a, b) return a[1] < b[1] end)
-- A tenth more than needed, so that not every record is the one too many.
for index = 1, #kept - math.floor(0.9 * tonumber(ARGV[2])) do
  redis.call('HDEL', KEYS[1], kept[index][2])
end
