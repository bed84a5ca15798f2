-- Announces the whole of a write before any of it is done, on a Redis Cluster.
--
-- KEYS[1]  persona-owner:<partition>:{...}  hash: token, turn, redo, pending
--
-- ARGV[1]  the writer's token
-- ARGV[2]  its turn: they ascend, so that a message held up on its way cannot come back
-- ARGV[3]  the write
-- ARGV[4]  JSON of the customers whose changes are to be published; '' leaves the last ones
--
-- Returns the server's time in seconds, or 0 when another worker has claimed the partition.

local held = redis.call('HMGET', KEYS[1], 'token', 'turn')
if held[1] ~= ARGV[1] or tonumber(held[2]) > tonumber(ARGV[2]) then
  return 0
end

redis.call('HSET', KEYS[1], 'turn', ARGV[2], 'redo', ARGV[3])
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'pending', ARGV[4])
end
return tonumber(redis.call('TIME')[1])
