-- Closes a budget until a moment, or opens it.
local bucket, until_, now = P .. 'k:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if until_ <= now then
    call('DEL', bucket)
    return 0
end
until_ = math.max(until_, tonumber(call('GET', bucket)) or 0)
call('SET', bucket, whole(until_), 'PX', whole(until_ - now + 60000))
return 0
