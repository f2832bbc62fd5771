-- Keep a dead letter, and remove those that are too old, too many, or too large together.
-- KEYS  1 times  2 notes  3 calls
-- ARGV  1 letter  2 note  3 call  4 expiry, s  5 most letters  6 most bytes of all calls
-- Returns nothing. Kept again, a letter is new.
local time = redis.call('TIME')
local now = tonumber(time[1])
redis.call('ZADD', KEYS[1], time[1] .. '.' .. string.format('%06d', time[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
local bytes, doomed = 0, {}
for rank, letter in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1)) do
  bytes = bytes + redis.call('HSTRLEN', KEYS[3], letter)
  local is_old = tonumber(redis.call('ZSCORE', KEYS[1], letter)) <= now - tonumber(ARGV[4])
  local is_much = rank > tonumber(ARGV[5]) or bytes > tonumber(ARGV[6])
  if letter ~= ARGV[1] and (is_old or is_much) then
    doomed[#doomed + 1] = letter
  end
end
for _, letter in ipairs(doomed) do
  redis.call('ZREM', KEYS[1], letter)
  redis.call('HDEL', KEYS[2], letter)
  redis.call('HDEL', KEYS[3], letter)
end
for _, key in ipairs(KEYS) do
  redis.call('EXPIRE', key, ARGV[4])
end
