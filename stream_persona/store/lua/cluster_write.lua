-- Does an announced write in one hash slot, unless a newer writer has put a fence there.
--
-- KEYS[1]     persona-fence:<partition>:{...}  the oldest writer that may write here
-- KEYS[2 ..]  keys of the same slot (persona-state:*, persona:*, persona-tastes:*,
--             persona-deleted:*, persona-labelled:<partition>, persona-due:<partition>, persona-names:<partition>)
--
-- ARGV[1]     four words: the writer, as token and turn of fixed width, so that a later one is
--             greater; after which second of the server's clock the write is no longer valid; for
--             how many seconds to put up a fence of this writer (0: not at all); how many
--             milliseconds deletion markers live
-- ARGV[2 ..]  triples: SET, PSETEX, SADD, SREM, ZADD, ZREM, HSET, HDEL or DEL; the number of its
--             key in KEYS; the value: for ZADD "score member" (one that is lower stays), for a hash
--             the field, a blank, and the field's value
--
-- Returns 1 when written, 0 when it came too late.

local writer, valid, stands, lives = string.match(ARGV[1], '(%d+) (%d+) (%d+) (%d+)')
local fence = redis.call('GET', KEYS[1])
if fence and fence > writer then
  return 0
end
if tonumber(redis.call('TIME')[1]) > tonumber(valid) then
  return 0
end
if stands ~= '0' then
  redis.call('SET', KEYS[1], writer, 'EX', stands)
end

for at = 2, #ARGV, 3 do
  local name, key, value = ARGV[at], KEYS[tonumber(ARGV[at + 1])], ARGV[at + 2]
  if name == 'DEL' then
    redis.call('DEL', key)
  elseif name == 'PSETEX' then
    redis.call('PSETEX', key, lives, value)
  elseif name == 'ZADD' then
    redis.call('ZADD', key, 'LT', string.match(value, '^(%d+) (.*)$'))
  elseif name == 'HSET' or name == 'HDEL' then
    local blank = string.find(value, ' ', 1, true)
    local field = string.sub(value, 1, blank - 1)
    if name == 'HSET' then
      redis.call('HSET', key, field, string.sub(value, blank + 1))
    else
      redis.call('HDEL', key, field)
    end
  else
    redis.call(name, key, value)
  end
end
return 1
