-- Leaves a copy of a partition's offsets on one master of a Redis Cluster, after all that the write
-- does there: who finds the copy knows that this master has the write.
--
-- KEYS[1]           persona-offsets:<partition>:{...}  hash: topic, its next offset; :write, "token
--                   turn" of the last one
-- ARGV[1], ARGV[2]  the writer's token and its turn
-- ARGV[3 ..]        topics and offsets
--
-- Returns 1 when written, 0 when a newer write has been done.

local last = redis.call('HGET', KEYS[1], ':write')
local token, turn = string.match(last or '0 0', '(%d+) (%d+)')
local newer = tonumber(token) - tonumber(ARGV[1])
if newer > 0 or (newer == 0 and tonumber(turn) > tonumber(ARGV[2])) then
  return 0
end
redis.call('HSET', KEYS[1], ':write', ARGV[1] .. ' ' .. ARGV[2])
for at = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
return 1
