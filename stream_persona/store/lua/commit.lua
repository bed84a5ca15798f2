-- Writes one batch if its writer still owns the partition; all of it or nothing.
--
-- KEYS[1]                 persona-owner:<partition>     the owner's token
-- KEYS[2]                 persona-labelled:<partition>  set of labelled customers
-- KEYS[3]                 persona-offsets:<partition>   hash: topic, its next offset; :write, "token
--                         turn" of the last one
-- KEYS[4]                 persona-due:<partition>       sorted set: customer, when it is due, or
--                         earlier
-- KEYS[5]                 persona-names:<partition>     hash of names of tokens
-- KEYS[6 ..]              keys to set or delete (persona-state:*, persona:*, persona-tastes:*,
--                         persona-deleted:*, persona-pending:<partition>, persona-model:<partition>)
--
-- ARGV[1]                 the writer's token
-- ARGV[2]                 its turn: they ascend, so that a write held up on its way cannot come
--                         back over a newer one of the same owner; '0': it has none
-- ARGV[3]                 the turn of its last write that was acknowledged: it must be known
-- ARGV[4]                 how many offsets there are
-- ARGV[5], ARGV[6]        how many customers join and leave the labelled set
-- ARGV[7], ARGV[8]        how many customers leave the due ones, and how many are due some time
-- ARGV[9]                 how many fields of names change
-- ARGV[10 ..]             topics and offsets; those customers; customers that leave, then times and
--                         customers that are due (an entry that is earlier stays); those fields,
--                         each with its value ('' removes); then, for each of KEYS[6 ..], the value
--                         ('' deletes) and its time to live in milliseconds ('0': for ever)
--
-- Returns 1 when written; 0 when another worker has claimed the partition, or a newer write of this
-- one has been done; -1 when this server has lost the claim or the last write, and is older.

local token = tonumber(ARGV[1])
local owner = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
if owner ~= token then
  return owner > token and 0 or -1
end

local at = 10
if ARGV[2] ~= '0' then
  local last = redis.call('HGET', KEYS[3], ':write')
  local writer, turn = string.match(last or '', '(%d+) (%d+)')
  if writer ~= ARGV[1] or tonumber(turn) < tonumber(ARGV[3]) then
    return -1
  end
  if tonumber(turn) > tonumber(ARGV[2]) then
    return 0
  end
  redis.call('HSET', KEYS[3], ':write', ARGV[1] .. ' ' .. ARGV[2])
  for _ = 1, tonumber(ARGV[4]) do
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
end

for _ = 1, tonumber(ARGV[5]) do
  redis.call('SADD', KEYS[2], ARGV[at])
  at = at + 1
end
for _ = 1, tonumber(ARGV[6]) do
  redis.call('SREM', KEYS[2], ARGV[at])
  at = at + 1
end

for _ = 1, tonumber(ARGV[7]) do
  redis.call('ZREM', KEYS[4], ARGV[at])
  at = at + 1
end
for _ = 1, tonumber(ARGV[8]) do
  redis.call('ZADD', KEYS[4], 'LT', ARGV[at], ARGV[at + 1])
  at = at + 2
end

for _ = 1, tonumber(ARGV[9]) do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', KEYS[5], ARGV[at])
  else
    redis.call('HSET', KEYS[5], ARGV[at], ARGV[at + 1])
  end
  at = at + 2
end

for i = 6, #KEYS do
  local value, ttl = ARGV[at], ARGV[at + 1]
  at = at + 2
  if value == '' then
    redis.call('DEL', KEYS[i])
  elseif ttl == '0' then
    redis.call('SET', KEYS[i], value)
  else
    redis.call('SET', KEYS[i], value, 'PX', ttl)
  end
end
return 1
