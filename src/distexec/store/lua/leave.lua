-- End a lease from its own side.
-- KEYS  1 leases  2 calls  3 order
-- ARGV  1 lease  2 '1' to leave even if entries wait
-- Returns 1 if the lease is ended, 0 if entries wait that nobody has taken.
redis.pcall('HDEL', KEYS[3], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return 1
end
local pending = redis.call('XPENDING', KEYS[2], 'leases')
if ARGV[2] ~= '1' and redis.call('XLEN', KEYS[2]) > pending[1] then
  return 0
end
redis.call('HDEL', KEYS[1], ARGV[1])
for _, consumer in ipairs(pending[4] or {}) do
  if consumer[1] == ARGV[1] then
    return 1 -- Its caller finds what this consumer still holds.
  end
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[2], 'leases', ARGV[1])
return 1
