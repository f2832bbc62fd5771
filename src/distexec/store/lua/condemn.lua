-- End the lease that holds an entry: nothing it says is heard from now on.
-- KEYS  1 leases  2 calls
-- ARGV  1 id of the entry
-- Returns the lease and its record (empty if it was ended before); nothing if none holds the entry.
if redis.call('EXISTS', KEYS[2]) == 0 then
  return {}
end
local held = redis.call('XPENDING', KEYS[2], 'leases', ARGV[1], ARGV[1], 1)
if #held == 0 then
  return {}
end
local record = redis.call('HGET', KEYS[1], held[1][2])
redis.call('HDEL', KEYS[1], held[1][2])
return {held[1][2], record or ''}
