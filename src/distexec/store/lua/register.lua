-- Note that a child of a node holds a lease, unless the node holds enough, or does not beat: nobody
-- could tell then what becomes of the lease.
-- KEYS  1 the node's leases  2 the node's record
-- ARGV  1 lease  2 pid, session and executor  3 most leases of the node, or empty  4 expiry, ms
-- Returns 1 if it is noted (also if it was before: the answer may have been lost), 0 if not.
local is_new = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
if is_new and redis.call('EXISTS', KEYS[2]) == 0 then
  return 0
end
if is_new and ARGV[3] ~= '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
