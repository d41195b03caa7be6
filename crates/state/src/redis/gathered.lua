-- The messages whose digest is due: the first ones whole, then the ids of the others.
local robot, named, now = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local due = call('ZRANGEBYSCORE', P .. 'd:' .. robot, '-inf', now)
local names = call('ZRANGE', P .. 'g:' .. robot, 0, -1)
if #due < #names then
    local is_due, left = {}, {}
    for _, name in ipairs(due) do is_due[name] = true end
    for _, name in ipairs(names) do
        if is_due[name] then left[#left + 1] = name end
    end
    names = left
end
local answer = { math.min(named, #names) }
for at, name in ipairs(names) do
    if at <= named then
        add_waiting(answer, robot, id_of(name))
    else
        answer[#answer + 1] = id_of(name)
    end
end
return answer
