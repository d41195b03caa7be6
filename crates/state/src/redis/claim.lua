-- Puts a message into the queues of its robots, if its word is nobody else's.
local now, id, priority, late, due, payload = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local issue, route, after, silence, burst, stopped = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local most, most_bytes = tonumber(ARGV[13]), tonumber(ARGV[14])
local WON, TAKEN, FULL = 0, 1, 2
local word
if issue ~= NOTHING then
    word = { issue = issue, route = route, silence = silence, burst = burst, stopped = stopped }
    local said = call('HGET', P .. 'i:' .. issue, route .. 'a') or NOTHING
    if said ~= after or is_claimed(issue, route, now) then return TAKEN end
end
if #ARGV == 14 then
    if word then tell(word, tonumber(call('HGET', P .. 'i:' .. issue, route .. 's')) or 0, now) end
    return WON
end
for at = 15, #ARGV do
    if call('HEXISTS', P .. 'm:' .. ARGV[at], id) == 1 then return TAKEN end
end
local queued = 0
for at = 15, #ARGV do
    local robot = ARGV[at]
    local bytes = tonumber(call('GET', P .. 'bytes')) or 0
    if bytes + #payload > most_bytes or call('HLEN', P .. 'm:' .. robot) >= most then
        call('HINCRBY', P .. 'missed', robot, 1)
    else
        local found = { priority = priority, put = now, seq = call('INCR', P .. 'seq'), late = late, due = due, word = word }
        keep_parcel(robot, id, found)
        call('HSET', P .. 'p:' .. robot, id, payload)
        call('SADD', P .. 'robots', robot)
        call('INCRBY', P .. 'bytes', #payload)
        local name = member(id, found)
        if due == NOTHING then
            call('ZADD', P .. 'a:' .. robot, score(found), name)
        else
            call('ZADD', P .. 'g:' .. robot, score(found), name)
            call('ZADD', P .. 'd:' .. robot, due, name)
        end
        for _, kind in ipairs({ 'm:', 'p:', 'o:', 'a:', 'g:', 'd:' }) do call('PEXPIRE', P .. kind .. robot, TTL) end
        queued = queued + 1
    end
end
if queued == 0 then return FULL end
if word then
    call('HSET', P .. 'c:' .. issue, route, queued .. '|0|0')
    call('PEXPIRE', P .. 'c:' .. issue, TTL)
    call('ZREM', P .. 'rests', issue .. '|' .. route)
end
return WON
