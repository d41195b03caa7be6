-- Takes a message out of a budget: -1 when granted, else milliseconds to wait.
local bucket, per_minute, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local MINUTE = 60000
local closed = tonumber(call('GET', P .. 'k:' .. bucket)) or 0
if now < closed then return closed - now end
local taken = P .. 't:' .. bucket
call('ZREMRANGEBYSCORE', taken, '-inf', whole(now - MINUTE))
local free_at = call('ZCARD', taken) + 1 - per_minute
if free_at > 0 then
    local opens = call('ZRANGE', taken, free_at - 1, free_at - 1, 'WITHSCORES')[2]
    if opens then return math.max(0, math.min(MINUTE, tonumber(opens) + MINUTE - now)) end
end
call('ZADD', taken, whole(now), call('INCR', P .. 'seq'))
call('PEXPIRE', taken, 2 * MINUTE)
return -1
