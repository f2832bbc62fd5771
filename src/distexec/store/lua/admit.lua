-- Admit a lease to an executor, unless it has enough.
-- KEYS  1 session  2 leases  3 spec  4 calls
-- ARGV  1 lease  2 pid  3 queue  4 node  5 limit of threads  6 wanted leases
--       7 the calls' group: only if entries wait that nobody has taken; or empty
-- Returns 1 if the lease is admitted (also if it was before), 0 if not.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then
  return 1
end
if redis.call('EXISTS', KEYS[1], KEYS[3]) < 2 then
  return 0 -- The caller is gone, or has closed the executor.
end
local count, threads = 0, 0
for _, record in ipairs(redis.call('HVALS', KEYS[2])) do
  count = count + 1
  threads = threads + (tonumber(string.match(record, '^%d+')) or 0)
end
if count >= tonumber(ARGV[6]) or threads >= tonumber(ARGV[5]) then
  return 0
end
if ARGV[7] ~= '' then
  if redis.call('EXISTS', KEYS[4]) == 0 then
    return 0
  end
  if redis.call('XLEN', KEYS[4]) <= redis.call('XPENDING', KEYS[4], ARGV[7])[1] then
    return 0
  end
end
local time = redis.call('TIME')
local admitted = time[1] .. '.' .. string.format('%06d', time[2])
redis.call('HSET', KEYS[2], ARGV[1], '1|' .. ARGV[2] .. '|' .. admitted .. '|' .. ARGV[3] .. '|' .. ARGV[4])
-- The lease goes when its executor does: its caller may be gone already.
redis.call('PEXPIRE', KEYS[2], math.max(1, redis.call('PTTL', KEYS[3])))
return 1
