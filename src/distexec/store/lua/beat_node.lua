-- Say that a node lives.
-- KEYS  1 the node's record  2 the node's leases  3 names of nodes  4 the node's commands
-- ARGV  1 frame  2 expiry, ms  3 name
-- Returns the time; or, without a beat, the keys that others wrote over and that are removed now.
local damaged = {}
for index, wanted in ipairs({ 'hash', 'hash', 'set', 'stream' }) do
  local holds = redis.call('TYPE', KEYS[index]).ok
  if holds ~= wanted and holds ~= 'none' then
    redis.call('DEL', KEYS[index])
    damaged[#damaged + 1] = KEYS[index] .. ': ' .. holds .. ' instead of ' .. wanted
  end
end
if #damaged > 0 then
  return damaged
end
local time = redis.call('TIME')
local at = time[1] .. '.' .. string.format('%06d', time[2])
redis.call('HSET', KEYS[1], 'frame', ARGV[1], 'at', at)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[3], ARGV[3])
return at
