-- Gives the lead of a robot to a holder when nobody else has it: 1 when it has.
local leader, holder, lease, now = P .. 'l:' .. ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local found = call('GET', leader)
if found then
    local until_, who = string.match(found, '^(%d+)|(.*)$')
    if who ~= holder and now < tonumber(until_) then return 0 end
end
call('SET', leader, whole(now + lease) .. '|' .. holder, 'PX', whole(lease + 60000))
return 1
