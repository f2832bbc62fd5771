-- Add to the cluster's totals, once.
-- KEYS  1 totals  2 the source's last serial
-- ARGV  1 serial  2 expiry of the totals, ms  3 expiry of the serial, ms, then pairs of name and count
-- Returns 1 if they were added; 0 if they were before: the answer to that was lost.
for index, wanted in ipairs({ 'hash', 'string' }) do
  local holds = redis.call('TYPE', KEYS[index]).ok
  if holds ~= wanted and holds ~= 'none' then
    redis.call('DEL', KEYS[index])
  end
end
if redis.call('GET', KEYS[2]) == ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
for index = 4, #ARGV, 2 do
  local answer = redis.pcall('HINCRBY', KEYS[1], ARGV[index], ARGV[index + 1])
  if type(answer) == 'table' and answer.err then  -- Somebody else has written a word there.
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
