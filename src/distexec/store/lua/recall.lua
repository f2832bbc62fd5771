-- Take back entries that no lease holds. Exact: XDEL alone would also remove what a lease has taken.
-- KEYS  1 calls
-- ARGV  1... numbers of entries
-- Returns the numbers of those taken back; again if asked again, for the answer may have been lost.
-- Not those that were never put: they may be on their way, and would run after all.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
local function number_in(fields, name)
  for index = 1, #fields, 2 do
    if fields[index] == name then
      return tonumber(string.match(fields[index + 1], '^%d+'))
    end
  end
end
local delivered = number_in(redis.call('XINFO', 'GROUPS', KEYS[1])[1], 'last-delivered-id')
local last = number_in(redis.call('XINFO', 'STREAM', KEYS[1]), 'last-generated-id')
local recalled = {}
for _, number in ipairs(ARGV) do
  if tonumber(number) > delivered and tonumber(number) <= last then
    redis.call('XDEL', KEYS[1], number .. '-0')
    recalled[#recalled + 1] = tonumber(number)
  end
end
return recalled
