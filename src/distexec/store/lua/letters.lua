-- Tell of the dead letters that have not expired, the oldest first.
-- KEYS  1 times  2 notes
-- ARGV  1 expiry, s
-- Returns the letter, its time and its note, for each.
local oldest = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
local found = {}
local letters = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. oldest, '+inf', 'WITHSCORES')
for index = 1, #letters, 2 do
  local note = redis.call('HGET', KEYS[2], letters[index])
  if note then
    found[#found + 1] = letters[index]
    found[#found + 1] = letters[index + 1]
    found[#found + 1] = note
  end
end
return found
