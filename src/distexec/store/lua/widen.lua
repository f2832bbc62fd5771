-- Give a lease as many threads as it asks for and its executor's limit allows; of a lease that has
-- less than its equal share, up to that share first: the others have time to take theirs.
-- KEYS  1 leases
-- ARGV  1 lease  2 threads asked for  3 limit
-- Returns the threads that the lease has now; 0 if it was ended.
local own = redis.call('HGET', KEYS[1], ARGV[1])
if not own or not string.match(own, '^%d+') then
  return 0
end
local threads, leases = 0, 0
for _, record in ipairs(redis.call('HVALS', KEYS[1])) do
  threads = threads + (tonumber(string.match(record, '^%d+')) or 0)
  leases = leases + 1
end
local has, rest = string.match(own, '^(%d+)(.*)$')
local limit = tonumber(ARGV[3])
local most = tonumber(has) + math.max(limit - threads, 0)
local share = math.ceil(limit / leases)
if tonumber(has) < share then
  most = math.min(most, share)
end
local granted = math.min(tonumber(ARGV[2]), most)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', granted) .. rest)
return granted
