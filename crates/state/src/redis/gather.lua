-- Moves messages from those said alone to those gathered.
local robot, due = ARGV[1], ARGV[2]
for at = 3, #ARGV do
    local id = ARGV[at]
    local found = parcel(robot, id)
    if found and found.due == NOTHING then
        local name = member(id, found)
        found.due = due
        keep_parcel(robot, id, found)
        call('ZREM', P .. 'a:' .. robot, name)
        call('ZADD', P .. 'g:' .. robot, score(found), name)
        call('ZADD', P .. 'd:' .. robot, due, name)
        call('PEXPIRE', P .. 'g:' .. robot, TTL)
        call('PEXPIRE', P .. 'd:' .. robot, TTL)
    end
end
return 0
