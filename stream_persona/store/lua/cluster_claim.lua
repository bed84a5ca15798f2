-- A new owner of a partition, on a Redis Cluster.
--
-- KEYS[1]  persona-owner:<partition>:{...}  hash: token, turn, redo, pending, places
--
-- Returns the owner's token, the server's time in seconds, the write that its predecessor announced
-- and did not finish, if there is one, that predecessor's token, and the hash slots in which its
-- last write left copies of the offsets.

local now = redis.call('TIME')
local before = redis.call('HGET', KEYS[1], 'token')
local token = math.max((tonumber(before or 0) or 0) + 1, now[1] * 1000000 + now[2])
local text = string.format('%.0f', token)
redis.call('HSET', KEYS[1], 'token', text, 'turn', 0)
local left = redis.call('HMGET', KEYS[1], 'redo', 'places')
return {text, tonumber(now[1]), left[1], before, left[2]}
