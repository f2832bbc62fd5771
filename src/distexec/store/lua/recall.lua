-- Take back entries that no lease holds. Exact: XDEL alone would also remove what a lease has taken.
-- KEYS  1 calls
-- ARGV  1... numbers of entries
-- Returns the numbers of those taken back; again if asked again, for the answer may have been lost.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
local group = redis.call('XINFO', 'GROUPS', KEYS[1])[1]
local delivered = 0
for index = 1, #group, 2 do
  if group[index] == 'last-delivered-id' then
    delivered = tonumber(string.match(group[index + 1], '^%d+'))
  end
end
local recalled = {}
for _, number in ipairs(ARGV) do
  if tonumber(number) > delivered then
    redis.call('XDEL', KEYS[1], number .. '-0')
    recalled[#recalled + 1] = tonumber(number)
  end
end
return recalled
