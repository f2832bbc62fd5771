-- Answer, acknowledge what is finished, and take what is next: all or nothing, and only for a lease
-- that was not ended.
-- KEYS  1 leases  2 calls  3 replies  4 order
-- ARGV  1 lease  2 frame, or empty for none  3 entries to take, or 0
--       4 ends the lease's reservation: '0' if its entry starts, the entry's id if it is given back;
--         empty if it has none, or keeps it
--       5... ids of finished entries
-- Returns 0 if the lease was not heard; else 1, or what it took, as XREADGROUP says it; or 2 if it
-- must ask again soon, for another lease has reserved an older entry.

-- Milliseconds that others wait for a reservation. Its lease lets them wait for a few, unless its
-- process is kept from running, and then its call does not wait for theirs.
local PATIENCE = 1000

local lease = ARGV[1]
if redis.call('HEXISTS', KEYS[1], lease) == 0 then
  return 0
end
if ARGV[2] ~= '' and not redis.call('XADD', KEYS[3], 'NOMKSTREAM', '*', 'f', ARGV[2]) then
  redis.call('XADD', KEYS[3], '*', 'f', ARGV[2])
  -- Its caller may be gone, and nobody else would end it.
  redis.call('PEXPIRE', KEYS[3], math.max(1, redis.call('PTTL', KEYS[1])))
end
if #ARGV > 4 then
  redis.call('XACK', KEYS[2], 'leases', unpack(ARGV, 5))
  redis.call('XDEL', KEYS[2], unpack(ARGV, 5))
end
if ARGV[4] ~= '' then
  local reserved = redis.pcall('HGET', KEYS[4], 'reserved')
  if type(reserved) == 'string' and string.match(reserved, '^%S+') == lease then
    redis.call('HDEL', KEYS[4], 'reserved')
  end
  if ARGV[4] ~= '0' then
    -- If it is held still: a retry must not give back what somebody else has by now.
    local held = redis.pcall('XPENDING', KEYS[2], 'leases', ARGV[4], ARGV[4], 1, lease)
    if not held.err and #held > 0 then
      redis.pcall('HSET', KEYS[4], 'free', lease .. ' ' .. ARGV[4])
    end
  end
end
if ARGV[3] == '0' then
  return 1
end

local order, others_wait = redis.pcall('HMGET', KEYS[4], 'reserved', 'free', lease), false
local reserver, entry, since = string.match(order[1] or '', '^(%S+) (%S+) (%S+)$')
local releaser, free = string.match(order[2] or '', '^(%S+) (%S+)$')
if reserver == lease then
  -- The answer was lost: it does not know what it has.
  redis.call('HDEL', KEYS[4], 'reserved')
  releaser, free = lease, entry
elseif reserver and redis.call('HEXISTS', KEYS[1], reserver) == 1 then
  local time = redis.call('TIME')
  if time[1] * 1000 + time[2] / 1000 - since < PATIENCE then
    return 2
  end
  others_wait = true
end

local taken
if order[2] then
  redis.call('HDEL', KEYS[4], 'free')
end
if free then
  -- What an ended lease held is its caller's to send again.
  if redis.call('HEXISTS', KEYS[1], releaser) == 1 then
    local claimed = redis.pcall('XCLAIM', KEYS[2], 'leases', lease, 0, free)
    taken = not claimed.err and claimed[1] and {{KEYS[2], claimed}}
  end
end
if not taken then
  -- Without the stream there is nothing to take, which the next look finds out by itself.
  taken = redis.pcall(
    'XREADGROUP', 'GROUP', 'leases', lease, 'COUNT', ARGV[3], 'STREAMS', KEYS[2], '>')
end
if taken and not taken.err then
  if not order[3] and not order.err then
    redis.call('HSET', KEYS[4], lease, '1')
    redis.call('PEXPIRE', KEYS[4], math.max(1, redis.call('PTTL', KEYS[1])))
  end
  return taken
end
if others_wait then
  return 2
end
if order[3] then
  redis.call('HDEL', KEYS[4], lease)
end
return 1
