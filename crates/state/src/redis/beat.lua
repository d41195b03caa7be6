-- Tells that a replica lives: how many do, how many of them come before it by name, and since when this Redis remembers. A write, so that a Redis that takes none
-- does not seem well.
local replica, now, silence, epoch = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local key = P .. 'replicas'
call('ZADD', key, whole(now), replica)
call('ZREMRANGEBYSCORE', key, '-inf', whole(now - silence))
call('PEXPIRE', key, whole(silence * 2))
call('SET', P .. 'epoch', epoch, 'NX')
local names = call('ZRANGE', key, 0, -1)
local before = 0
for _, name in ipairs(names) do
    if name < replica then before = before + 1 end
end
return { #names, before, call('GET', P .. 'epoch') }
