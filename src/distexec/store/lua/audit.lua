-- Find the keys of a session that somebody else wrote over.
-- KEYS  1... keys
-- ARGV  1... for each, its type; 'calls' for a stream that must be there, with its group
-- Returns, for each, what it holds instead; empty if all is well.
local found = {}
for index, key in ipairs(KEYS) do
  local wanted, holds = ARGV[index], redis.call('TYPE', key).ok
  local type = wanted == 'calls' and 'stream' or wanted
  found[index] = ''
  if holds ~= type and (holds ~= 'none' or wanted == 'calls' or wanted == 'string') then
    found[index] = holds .. ' instead of ' .. type
  elseif wanted == 'calls' then
    local has_group = false
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
      has_group = has_group or group[2] == 'leases'
    end
    if not has_group then
      found[index] = 'a stream without its group'
    end
  end
end
return found
