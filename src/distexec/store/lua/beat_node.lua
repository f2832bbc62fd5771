-- Say that a node lives.
-- KEYS  1 the node's record  2 the node's leases  3 names of nodes
-- ARGV  1 frame  2 expiry, ms  3 name
-- Returns the time.
local time = redis.call('TIME')
local at = time[1] .. '.' .. string.format('%06d', time[2])
redis.call('HSET', KEYS[1], 'frame', ARGV[1], 'at', at)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('SADD', KEYS[3], ARGV[3])
return at
