-- Writes one batch if its writer still owns the partition; all of it or nothing.
--
-- KEYS[1]                 persona-owner:<partition>     the owner's token
-- KEYS[2]                 persona-labelled:<partition>  set of labelled customers
-- KEYS[3]                 persona-turn:<partition>      token and turn of the last write
-- KEYS[4 ..]              keys to set or delete (persona-state:*, persona:*, persona-deleted:*,
--                         persona-pending:<partition>, persona-model:<partition>)
--
-- ARGV[1]                 the writer's token
-- ARGV[2]                 its turn: they ascend, so that a write held up on its way cannot come
--                         back over a newer one of the same owner; '0': it has none
-- ARGV[3], ARGV[4]        how many customers join and leave the labelled set
-- ARGV[5 ..]              those customers; then, for each of KEYS[4 ..], the value ('' deletes)
--                         and its time to live in milliseconds ('0': for ever)
--
-- Returns 1 when written, 0 when another worker has claimed the partition,
-- or a newer write of this one has been done.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end

if ARGV[2] ~= '0' then
  local last = redis.call('GET', KEYS[3])
  local token, turn = string.match(last or '', '(%d+) (%d+)')
  if token == ARGV[1] and tonumber(turn) > tonumber(ARGV[2]) then
    return 0
  end
  redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. ARGV[2])
end

local next = 5
for _ = 1, tonumber(ARGV[3]) do
  redis.call('SADD', KEYS[2], ARGV[next])
  next = next + 1
end
for _ = 1, tonumber(ARGV[4]) do
  redis.call('SREM', KEYS[2], ARGV[next])
  next = next + 1
end

for i = 4, #KEYS do
  local value, ttl = ARGV[next], ARGV[next + 1]
  next = next + 2
  if value == '' then
    redis.call('DEL', KEYS[i])
  elseif ttl == '0' then
    redis.call('SET', KEYS[i], value)
  else
    redis.call('SET', KEYS[i], value, 'PX', ttl)
  end
end
return 1
