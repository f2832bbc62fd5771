-- Put a frame on a session's reply stream, if the session lives.
-- KEYS  1 session  2 replies
-- ARGV  1 frame
-- Returns 1 if it was put, 0 if not.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'f', ARGV[1])
return 1
