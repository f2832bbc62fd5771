-- Put a frame on a session's reply stream, if the session lives.
-- KEYS  1 session  2 replies
-- ARGV  1 frame  2 expiry of the key, ms
-- Returns 1 if it was put, 0 if not.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'f', ARGV[1])
if redis.call('PTTL', KEYS[2]) == -1 then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 1
