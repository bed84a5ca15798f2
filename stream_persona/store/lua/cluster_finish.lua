-- Removes an announced write, once all of it is done.
--
-- KEYS[1]           persona-owner:<partition>:{...}  hash: token, turn, redo, pending
-- ARGV[1], ARGV[2]  the writer's token and its turn
--
-- Returns 1, or 0 when another worker has claimed the partition or another write is announced.

local held = redis.call('HMGET', KEYS[1], 'token', 'turn')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], 'redo')
return 1
