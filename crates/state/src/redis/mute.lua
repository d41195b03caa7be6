-- Adds a mute; beyond the most there may be, the one that ends first goes.
local id, value, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local key = P .. 'mutes'
call('HSET', key, id, value)
if call('HLEN', key) <= most then return 0 end
local first, first_ends
local mutes = call('HGETALL', key)
for at = 1, #mutes, 2 do
    local ends = tonumber(string.match(mutes[at + 1], '^(%d+)|')) or math.huge
    if not first or ends < first_ends or (ends == first_ends and mutes[at] < first) then
        first, first_ends = mutes[at], ends
    end
end
call('HDEL', key, first)
return 0
