-- Publishes a partition's shard of the model if its writer still owns the partition.
--
-- KEYS[1]  persona-owner:<partition>:{...}  hash with the owner's token; in the slot of KEYS[2]
-- KEYS[2]  persona-model:<partition>
--
-- ARGV[1]  the writer's token
-- ARGV[2]  stamp and shard
--
-- Returns 1 when written, 0 when another worker has claimed the partition, -1 when this server has
-- lost the claim, and is older.

local owner = tonumber(redis.call('HGET', KEYS[1], 'token') or 0) or 0
if owner ~= tonumber(ARGV[1]) then
  return owner > tonumber(ARGV[1]) and 0 or -1
end
redis.call('SET', KEYS[2], ARGV[2])
return 1
