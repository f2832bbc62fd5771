-- Remove what a buried lease held, and its consumer.
-- KEYS  1 calls  2 order
-- ARGV  1 lease  2... ids of entries
-- Returns nothing.
redis.pcall('HDEL', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 then
  return
end
for index = 2, #ARGV do
  redis.call('XACK', KEYS[1], 'leases', ARGV[index])
  redis.call('XDEL', KEYS[1], ARGV[index])
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], 'leases', ARGV[1])
