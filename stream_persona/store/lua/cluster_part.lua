-- Publishes a partition's shard of the model if its writer still owns the partition.
--
-- KEYS[1]  persona-owner:<partition>:{...}  hash with the owner's token; in the slot of KEYS[2]
-- KEYS[2]  persona-model:<partition>
--
-- ARGV[1]  the writer's token
-- ARGV[2]  stamp and shard
--
-- Returns 1 when written, 0 when another worker has claimed the partition.

if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
