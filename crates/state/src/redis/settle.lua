-- Takes messages out of a robot's queue.
local now, robot, missed = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
if missed > 0 then
    local left = (tonumber(call('HGET', P .. 'missed', robot)) or 0) - missed
    if left > 0 then
        call('HSET', P .. 'missed', robot, whole(left))
    else
        call('HDEL', P .. 'missed', robot)
    end
end
for at = 4, #ARGV, 3 do
    local id, end_, value = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    if end_ == 'told' then
        take_out(robot, id, value, nil, now)
    else
        take_out(robot, id, nil, value, now)
    end
end
return 0
