-- Forgets what is old, a part at a time; ARGV[4] is how many old issues an earlier part had to leave.
local before, stale, now, skipped = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local PART = 200
local parcels, issues, is_more = 0, 0, 0
for _, robot in ipairs(call('SMEMBERS', P .. 'robots')) do
    local old = call('ZRANGEBYSCORE', P .. 'o:' .. robot, '-inf', '(' .. stale, 'LIMIT', 0, PART)
    for _, id in ipairs(old) do
        if take_out(robot, id, nil, 0, now) then parcels = parcels + 1 else call('ZREM', P .. 'o:' .. robot, id) end
    end
    if #old == PART then is_more = 1 end
end
local rested = call('ZRANGEBYSCORE', P .. 'rests', '-inf', whole(now), 'LIMIT', 0, PART)
for _, word in ipairs(rested) do
    local issue, route = string.match(word, '^(.*)|(%d+)$')
    local left, _, rests = held(issue, route)
    if left == 0 and rests <= now then release(issue, route) else call('ZREM', P .. 'rests', word) end
end
local old = call('ZRANGEBYSCORE', P .. 'recent', '-inf', '(' .. before, 'LIMIT', skipped, PART)
for _, issue in ipairs(old) do
    if call('EXISTS', P .. 'c:' .. issue) == 1 then
        skipped = skipped + 1
    else
        forget(issue)
        issues = issues + 1
    end
end
if #old == PART or #rested == PART then is_more = 1 end
local mutes = call('HGETALL', P .. 'mutes')
for at = 1, #mutes, 2 do
    local ends = string.match(mutes[at + 1], '^(%d+)|')
    if ends and tonumber(ends) <= now then call('HDEL', P .. 'mutes', mutes[at]) end
end
for _, key in ipairs({ 'recent', 'rests', 'robots', 'missed', 'bytes', 'seq' }) do call('PEXPIRE', P .. key, TTL) end
local evicted = tonumber(call('GET', P .. 'evicted')) or 0
call('DEL', P .. 'evicted')
return { issues, evicted, parcels, skipped, is_more }
