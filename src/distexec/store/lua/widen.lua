-- Give a lease as many threads as it asks for and its executor's limit allows.
-- KEYS  1 leases
-- ARGV  1 lease  2 threads asked for  3 limit
-- Returns the threads that the lease has now; 0 if it was ended.
local own = redis.call('HGET', KEYS[1], ARGV[1])
if not own or not string.match(own, '^%d+') then
  return 0
end
local threads = 0
for _, record in ipairs(redis.call('HVALS', KEYS[1])) do
  threads = threads + (tonumber(string.match(record, '^%d+')) or 0)
end
local has, rest = string.match(own, '^(%d+)(.*)$')
local free = math.max(tonumber(ARGV[3]) - threads, 0)
local granted = math.min(tonumber(ARGV[2]), tonumber(has) + free)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', granted) .. rest)
return granted
