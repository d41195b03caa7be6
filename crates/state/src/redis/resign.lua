-- Takes the lead of a robot back from its holder.
local leader = P .. 'l:' .. ARGV[1]
local found = call('GET', leader)
if found and string.match(found, '^%d+|(.*)$') == ARGV[2] then call('DEL', leader) end
return 0
