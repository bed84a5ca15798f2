-- A new owner of a partition, on one server.
--
-- KEYS[1]  persona-owner:<partition>    the owner's token
-- KEYS[2]  persona-offsets:<partition>  hash: topic, its next offset; :write, "token turn" of the
--          last one; :since, the first owner, unless that was one of a version without offsets
--
-- Returns the owner's token, that of the last owner (nil: none), and the hash as it was. Tokens are
-- times: none is given twice, not even by a server that has come back older.

local held = redis.call('GET', KEYS[1])
local now = redis.call('TIME')
local token = math.max((tonumber(held or 0) or 0) + 1, now[1] * 1000000 + now[2])
local text = string.format('%.0f', token)
local stored = redis.call('HGETALL', KEYS[2])
redis.call('SET', KEYS[1], text)
redis.call('HSET', KEYS[2], ':write', text .. ' 0')
if not held then
  redis.call('HSET', KEYS[2], ':since', text)
end
return {text, held, stored}
