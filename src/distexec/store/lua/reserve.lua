-- Take the next entry for a lease that will be free soon. Until it starts it, or gives it back, the
-- others take nothing: entries start in their order.
-- KEYS  1 leases  2 calls  3 order
-- ARGV  1 lease  2 most threads that serve the stream with which this is worth it  3 queue
-- Returns 0 if the lease was ended, 1 if it must not; else what it took, as XREADGROUP says it.
local lease = ARGV[1]
local names, threads, counts = {}, 0, false
local leases = redis.call('HGETALL', KEYS[1])
for index = 1, #leases, 2 do
  counts = counts or leases[index] == lease
  local count, queue = string.match(leases[index + 1], '^(%d+)|%d+|[^|]*|([^|]*)|')
  if queue == ARGV[3] then
    names[#names + 1] = leases[index]
    threads = threads + tonumber(count)
  end
end
if not counts then
  return 0
end
if threads > tonumber(ARGV[2]) then
  return 1
end
local order = redis.pcall('HMGET', KEYS[3], 'reserved', 'free', unpack(names))
if order.err or order[2] then
  return 1
end
local reserver, entry = string.match(order[1] or '', '^(%S+) (%S+) %S+$')
if reserver == lease then
  -- The answer was lost.
  return {{KEYS[2], redis.call('XRANGE', KEYS[2], entry, entry)}}
end
if reserver and redis.call('HEXISTS', KEYS[1], reserver) == 1 then
  return 1
end
for index = 1, #names do
  if not order[index + 2] then
    return 1 -- That one may wait on the stream itself, and would not be stopped.
  end
end
local taken = redis.pcall(
  'XREADGROUP', 'GROUP', 'leases', lease, 'COUNT', 1, 'STREAMS', KEYS[2], '>')
if not taken or taken.err then
  return 1
end
local time = redis.call('TIME')
local since = string.format('%.0f', time[1] * 1000 + time[2] / 1000)
redis.call('HSET', KEYS[3], 'reserved', lease .. ' ' .. taken[1][2][1][1] .. ' ' .. since)
return taken
