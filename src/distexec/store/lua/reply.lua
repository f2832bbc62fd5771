-- Answer, and acknowledge what is finished, both or neither: only a lease that was not ended may.
-- KEYS  1 leases  2 calls  3 replies
-- ARGV  1 lease  2 frame, or empty for none  3... ids of finished entries
-- Returns 1 if the lease was heard, 0 if not.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('XADD', KEYS[3], '*', 'f', ARGV[2])
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 and redis.call('PTTL', KEYS[3]) == -1 then
    -- Its caller may be gone, and nobody else would end it.
    redis.call('PEXPIRE', KEYS[3], left)
  end
end
if #ARGV > 2 then
  redis.call('XACK', KEYS[2], 'leases', unpack(ARGV, 3))
  redis.call('XDEL', KEYS[2], unpack(ARGV, 3))
end
return 1
