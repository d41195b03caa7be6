-- Events of the issues of some messages since the last word told them.
local robot = ARGV[1]
local answer = {}
for at = 2, #ARGV do
    local found = parcel(robot, ARGV[at])
    local word = found and found.word
    answer[at - 1] = word and call('HGET', P .. 'i:' .. word.issue, word.route .. 's') or 0
end
return answer
