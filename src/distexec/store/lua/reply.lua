-- Answer, acknowledge what is finished, and take what is next: all or nothing, and only for a lease
-- that was not ended.
-- KEYS  1 leases  2 calls  3 replies
-- ARGV  1 lease  2 frame, or empty for none  3 entries to take, or 0  4... ids of finished entries
-- Returns 0 if the lease was not heard; else 1, or what it took, as XREADGROUP says it.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if ARGV[2] ~= '' and not redis.call('XADD', KEYS[3], 'NOMKSTREAM', '*', 'f', ARGV[2]) then
  redis.call('XADD', KEYS[3], '*', 'f', ARGV[2])
  -- Its caller may be gone, and nobody else would end it.
  redis.call('PEXPIRE', KEYS[3], math.max(1, redis.call('PTTL', KEYS[1])))
end
if #ARGV > 3 then
  redis.call('XACK', KEYS[2], 'leases', unpack(ARGV, 4))
  redis.call('XDEL', KEYS[2], unpack(ARGV, 4))
end
if ARGV[3] == '0' then
  return 1
end
-- Without the stream there is nothing to take, which the next look finds out by itself.
local taken = redis.pcall(
  'XREADGROUP', 'GROUP', 'leases', ARGV[1], 'COUNT', ARGV[3], 'STREAMS', KEYS[2], '>')
if not taken or taken.err then
  return 1
end
return taken
