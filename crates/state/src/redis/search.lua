-- Looks at the next issues of a search: how many are known, where it goes on or nothing, then what was found.
local score, member, limit, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local project, has_environment, environment, text = ARGV[5], ARGV[6] == '1', ARGV[7], ARGV[8]

local function is_match(issue)
    if project ~= NOTHING and string.sub(issue, 1, #project) ~= project then return false end
    if not has_environment and text == NOTHING then return true end
    local field = call('HMGET', P .. 'i:' .. issue, 'e', 't')
    if has_environment and (field[1] or NOTHING) ~= environment then return false end
    return text == NOTHING or string.find(string.lower(field[2] or NOTHING), text, 1, true) ~= nil
end

local from = 0
if member ~= NOTHING then
    -- The issue may have been seen again, or be gone: then what was seen before it comes next.
    if tonumber(call('ZSCORE', P .. 'recent', member) or -1) == tonumber(score) then
        from = call('ZREVRANK', P .. 'recent', member) + 1
    else
        from = call('ZCOUNT', P .. 'recent', '(' .. score, '+inf')
    end
end
local list = call('ZREVRANGE', P .. 'recent', from, from + most - 1, 'WITHSCORES')
local answer = { call('ZCARD', P .. 'recent'), NOTHING, NOTHING }
local found, looked = 0, 0
for at = 1, #list, 2 do
    if found == limit then break end
    looked = looked + 1
    answer[2], answer[3] = whole(tonumber(list[at + 1])), list[at]
    if is_match(list[at]) then
        add_issue(answer, list[at])
        found = found + 1
    end
end
if looked * 2 == #list and looked < most then answer[2], answer[3] = NOTHING, NOTHING end
return answer
