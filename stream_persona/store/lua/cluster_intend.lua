-- Announces the whole of a write before any of it is done, on a Redis Cluster.
--
-- KEYS[1]  persona-owner:<partition>:{...}  hash: token, turn, redo, pending, places
--
-- ARGV[1]  the writer's token
-- ARGV[2]  its turn: they ascend, so that a message held up on its way cannot come back
-- ARGV[3]  the turn of its last write that was acknowledged: it must be known
-- ARGV[4]  the write
-- ARGV[5]  JSON of the customers whose changes are to be published; '' leaves the last ones
-- ARGV[6]  the hash slots in which it leaves copies of the offsets
--
-- Returns the server's time in seconds; 0 when another worker has claimed the partition; -1 when
-- this server has lost the claim or the last write, and is older.

local held = redis.call('HMGET', KEYS[1], 'token', 'turn')
local owner, turn = tonumber(held[1] or 0) or 0, tonumber(held[2] or 0) or 0
if owner ~= tonumber(ARGV[1]) then
  return owner > tonumber(ARGV[1]) and 0 or -1
end
if turn < tonumber(ARGV[3]) then
  return -1
end
if turn > tonumber(ARGV[2]) then
  return 0
end

redis.call('HSET', KEYS[1], 'turn', ARGV[2], 'redo', ARGV[4], 'places', ARGV[6])
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'pending', ARGV[5])
end
return tonumber(redis.call('TIME')[1])
