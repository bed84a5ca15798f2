-- A new owner of a partition, on a Redis Cluster.
--
-- KEYS[1]  persona-owner:<partition>:{...}  hash: token, turn, redo, pending
--
-- Returns the owner's token, the server's time in seconds, and the write that its predecessor
-- announced and did not finish, if there is one.

local now = redis.call('TIME')
local held = tonumber(redis.call('HGET', KEYS[1], 'token') or 0) or 0  -- damaged: as if none
local token = math.max(held + 1, now[1] * 1000000 + now[2])
redis.call('HSET', KEYS[1], 'token', string.format('%.0f', token), 'turn', 0)
return {token, tonumber(now[1]), redis.call('HGET', KEYS[1], 'redo')}
