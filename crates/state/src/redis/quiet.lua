-- Issues spoken of that have been quiet on a route, longest first.
local route, before, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local PART = 100
local key, at, found, answer = P .. 'quiet:' .. route, 0, 0, {}
while found < limit do
    local issues = call('ZRANGEBYSCORE', key, '-inf', '(' .. before, 'LIMIT', at, PART)
    for _, issue in ipairs(issues) do
        if call('EXISTS', P .. 'i:' .. issue) == 0 then
            call('ZREM', key, issue)
        else
            at = at + 1
            if found < limit and not held(issue, route) then
                add_issue(answer, issue)
                found = found + 1
            end
        end
    end
    if #issues < PART then break end
end
return answer
