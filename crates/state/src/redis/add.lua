-- Adds what was counted of an issue elsewhere.
local key, first, last = P .. 'i:' .. ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local known = call('HMGET', key, 'n', 'f', 's')
if not known[1] then return 0 end
call('HINCRBY', key, 'n', ARGV[2])
if first < tonumber(known[2]) then call('HSET', key, 'f', whole(first)) end
if last > tonumber(known[3]) then
    call('HSET', key, 's', whole(last))
    call('ZADD', P .. 'recent', whole(last), ARGV[1])
end
for at = 5, #ARGV, 2 do call('HINCRBY', key, ARGV[at] .. 's', ARGV[at + 1]) end
call('PEXPIRE', key, TTL)
return 1
