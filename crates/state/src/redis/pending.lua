-- What waits to be said alone.
local robot, limit = ARGV[1], tonumber(ARGV[2])
local until_ = call('ZRANGE', P .. 'd:' .. robot, 0, 0, 'WITHSCORES')[2]
local names = {}
if limit > 0 then names = call('ZRANGE', P .. 'a:' .. robot, 0, limit - 1) end
local answer = {
    call('ZCARD', P .. 'a:' .. robot), call('ZCARD', P .. 'g:' .. robot), until_ and whole(tonumber(until_)) or NOTHING,
    call('HGET', P .. 'missed', robot) or 0, #names,
}
for _, name in ipairs(names) do add_waiting(answer, robot, id_of(name)) end
return answer
