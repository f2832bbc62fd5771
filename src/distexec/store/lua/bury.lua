-- End a lost lease: nothing it says is heard from now on. What it held stays until `discard`.
-- KEYS  1 leases  2... call streams
-- ARGV  1 lease
-- Returns, for each stream, the ids of the entries that it held.
redis.call('HDEL', KEYS[1], ARGV[1])
local held = {}
for index = 2, #KEYS do
  local ids = {}
  if redis.call('EXISTS', KEYS[index]) == 1 then
    for _, entry in ipairs(redis.call('XPENDING', KEYS[index], 'leases', '-', '+', 100000, ARGV[1])) do
      ids[#ids + 1] = entry[1]
    end
  end
  held[#held + 1] = ids
end
return held
