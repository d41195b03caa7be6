-- Keeps the first value of a name.
call('HSETNX', P .. 'kept', ARGV[1], ARGV[2])
return call('HGET', P .. 'kept', ARGV[1])
