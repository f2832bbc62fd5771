-- Which entries that were put are neither in the stream nor answered by now.
-- KEYS  1 calls  2 replies
-- ARGV  1... numbers of entries
-- Returns the id of the last reply so far, and the numbers of the entries that are not there: those
-- that no reply up to that one answers are lost.
local last = '0-0'
if redis.call('EXISTS', KEYS[2]) == 1 then
  local fields = redis.call('XINFO', 'STREAM', KEYS[2])
  for index = 1, #fields, 2 do
    if fields[index] == 'last-generated-id' then
      last = fields[index + 1]
    end
  end
end
local missing = {}
for _, number in ipairs(ARGV) do
  if #redis.call('XRANGE', KEYS[1], number .. '-0', number .. '-0', 'COUNT', 1) == 0 then
    missing[#missing + 1] = tonumber(number)
  end
end
return {last, missing}
