-- Counts an event.
local now, project, id, user, release_hash = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local title, level, event, room = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local environment = ARGV[10]
local at = 12
local hashes = {}
for _ = 1, tonumber(ARGV[11]) do
    hashes[#hashes + 1] = project .. ':' .. ARGV[at]
    at = at + 1
end
local watches = {}
for _ = 1, tonumber(ARGV[at]) do
    local field = {}
    for offset = 1, 7 do field[offset] = ARGV[at + offset] end
    watches[#watches + 1] = {
        route = field[1],
        events = tonumber(field[2]), events_within = tonumber(field[3]),
        users = tonumber(field[4]), users_within = tonumber(field[5]),
        burst = tonumber(field[6]), burst_within = tonumber(field[7]),
    }
    at = at + 7
end

-- Remembers an event id; true when it was known. Two sets take turns.
local function is_known_event()
    if id == NOTHING then return false end
    if call('SISMEMBER', P .. 'ids:old', id) == 1 then return true end
    if call('SADD', P .. 'ids', id) == 0 then return true end
    local count = call('SCARD', P .. 'ids')
    if count == 1 or count % 1000 == 0 then call('PEXPIRE', P .. 'ids', TTL) end
    if count >= 250000 then
        call('UNLINK', P .. 'ids:old')
        call('RENAME', P .. 'ids', P .. 'ids:old')
    end
    return false
end

local function issue_of(hash)
    if call('EXISTS', P .. 'i:' .. hash) == 1 then return hash end
    local issue = call('GETEX', P .. 'h:' .. hash, 'PX', TTL)
    if issue and call('EXISTS', P .. 'i:' .. issue) == 1 then return issue end
    return nil
end

local function make_room()
    local excess = call('ZCARD', P .. 'recent') - room + 1
    if excess <= 0 then return end
    for _, issue in ipairs(call('ZRANGE', P .. 'recent', 0, excess + 15)) do
        if excess > 0 and call('EXISTS', P .. 'c:' .. issue) == 0 then
            forget(issue)
            call('INCR', P .. 'evicted')
            excess = excess - 1
        end
    end
end

local function add_release(known)
    if release_hash == '0' then return known, false end
    if known == NOTHING then return release_hash, false end
    local first, rest, is_new = nil, {}, true
    for release in string.gmatch(known, '%d+') do
        if not first then
            first = release
        elseif release == release_hash then
            is_new = false
        else
            rest[#rest + 1] = release
        end
    end
    if first == release_hash then return known, false end
    if is_new and #rest >= 15 then table.remove(rest, 1) end
    rest[#rest + 1] = release_hash
    return first .. ',' .. table.concat(rest, ','), is_new
end

-- Keeps the time of the event before this one while a window reaches back to it; returns how many are kept.
local function keep_previous(key, previous, count, within)
    if not previous or count <= 1 then return 0 end
    if previous > now then
        local last = -1
        local time = call('LINDEX', key, last)
        while time and tonumber(time) > now do
            call('LSET', key, last, whole(now))
            last = last - 1
            time = call('LINDEX', key, last)
        end
        previous = now
    end
    local oldest = call('LINDEX', key, 0)
    while oldest and now - tonumber(oldest) >= within do
        call('LPOP', key)
        oldest = call('LINDEX', key, 0)
    end
    if now - previous >= within then return 0 end
    local length = call('RPUSH', key, whole(previous))
    if length > count - 1 then
        call('LTRIM', key, -(count - 1), -1)
        length = count - 1
    end
    call('PEXPIRE', key, within + 60000)
    return length
end

-- Events within a window, this one included.
local function events_within(key, length, count, within)
    if count == 0 then return 0 end
    local low, high = 0, length
    while low < high do
        local middle = low
        if low > 0 then middle = math.floor((low + high) / 2) end
        if now - tonumber(call('LINDEX', key, middle)) >= within then low = middle + 1 else high = middle end
    end
    return math.min(count, length - low + 1)
end

local function users_within(key, count, within)
    if count == 0 then return 0 end
    if user ~= NOTHING then
        call('ZADD', key, whole(now), user)
        call('PEXPIRE', key, within + 60000)
    end
    call('ZREMRANGEBYSCORE', key, '-inf', whole(now - within))
    local users = call('ZCARD', key)
    if users > count then call('ZREMRANGEBYRANK', key, 0, users - count - 1) end
    return math.min(count, users)
end

-- Counts the user; returns how many there are and whether that is a floor.
local function count_user(issue, users, is_floor)
    if user == NOTHING then return users, is_floor end
    local exact, estimate = P .. 'u:' .. issue, P .. 'y:' .. issue
    if is_floor ~= 1 then
        users = users + call('SADD', exact, user)
        call('PEXPIRE', exact, TTL)
        if users <= 1000 then return users, 0 end
        for _, known in ipairs(call('SMEMBERS', exact)) do call('PFADD', estimate, known) end
        call('UNLINK', exact)
        call('PEXPIRE', estimate, TTL)
    elseif call('PFADD', estimate, user) == 0 then
        return users, 1
    end
    call('PEXPIRE', estimate, TTL)
    -- The estimate is off by 0.8 % as a rule; less 2.5 % it is a floor.
    return math.max(1000, users, math.floor(call('PFCOUNT', estimate) * 0.975)), 1
end

local is_duplicate = is_known_event()
local issue
local unknown = {}
for _, hash in ipairs(hashes) do
    local found = issue_of(hash)
    if not found then unknown[#unknown + 1] = hash end
    issue = issue or found
end
local is_new = not issue
if is_new then
    issue = hashes[1]
    if not is_duplicate then make_room() end
end
local key = P .. 'i:' .. issue

local fields = { 'n', 'U', 'X', 'f', 's', 'r' }
for _, watch in ipairs(watches) do
    for _, name in ipairs({ 'a', 'q', 'b', 'x', 's', 'l', 'v' }) do fields[#fields + 1] = watch.route .. name end
end
local known = call('HMGET', key, unpack(fields))
local events, users, is_floor = tonumber(known[1]) or 0, tonumber(known[2]) or 0, tonumber(known[3]) or 0
local first_seen, last_seen = known[4] or whole(now), known[5] or whole(now)
local routes = known[6] or NOTHING
local write = {}
local function set(field, value)
    write[#write + 1] = field
    write[#write + 1] = value
end

if not is_duplicate then
    for _, hash in ipairs(unknown) do
        if hash ~= issue then call('SET', P .. 'h:' .. hash, issue, 'PX', TTL) end
    end
    events = events + 1
    last_seen = whole(now)
    users, is_floor = count_user(issue, users, is_floor)
    set('n', whole(events))
    set('s', last_seen)
    set('t', title)
    set('L', level)
    set('e', environment)
    if event ~= NOTHING then set('E', event) end
    if is_new then set('f', first_seen) end
    if user ~= NOTHING then
        set('U', whole(users))
        set('X', is_floor)
    end
    call('ZADD', P .. 'recent', last_seen, issue)
end

local answer = { issue, is_duplicate and 1 or 0, whole(events), whole(users), is_floor, first_seen, last_seen }
for index, watch in ipairs(watches) do
    local field = 6 + (index - 1) * 7
    local said, since = known[field + 1], tonumber(known[field + 5]) or 0
    local previous, releases = tonumber(known[field + 6]), known[field + 7] or NOTHING
    local route, is_new_release = watch.route, false
    local in_events, in_users, in_burst = 0, 0, 0
    if not is_duplicate then
        local list = P .. 'w:' .. issue .. ':' .. route
        local asked, asked_users = watch.events, watch.users
        -- The threshold is asked for only until the first word.
        if said then asked, asked_users = 0, 0 end
        local within = math.max(asked > 0 and watch.events_within or 0, watch.burst > 0 and watch.burst_within or 0)
        local length = keep_previous(list, previous, math.max(asked, watch.burst), within)
        in_events = events_within(list, length, asked, watch.events_within)
        in_burst = events_within(list, length, watch.burst, watch.burst_within)
        in_users = users_within(P .. 'v:' .. issue .. ':' .. route, asked_users, watch.users_within)
        since = since + 1
        local now_known
        now_known, is_new_release = add_release(releases)
        if now_known ~= releases then set(route .. 'v', now_known) end
        set(route .. 's', whole(since))
        set(route .. 'l', last_seen)
        if not previous and not string.find(',' .. routes .. ',', ',' .. route .. ',', 1, true) then
            routes = routes == NOTHING and route or routes .. ',' .. route
            set('r', routes)
        end
        if said and known[field + 4] ~= '1' then call('ZADD', P .. 'quiet:' .. route, last_seen, issue) end
    end
    answer[#answer + 1] = is_claimed(issue, route, now) and 1 or 0
    answer[#answer + 1] = whole(since)
    answer[#answer + 1] = previous and whole(previous) or NOTHING
    answer[#answer + 1] = is_new_release and 1 or 0
    answer[#answer + 1] = in_events
    answer[#answer + 1] = in_users
    answer[#answer + 1] = in_burst
    add_said(answer, said, known[field + 2], known[field + 3], known[field + 4])
end
if #write > 0 then
    if routes == NOTHING then set('r', '0') end
    call('HSET', key, unpack(write))
    call('PEXPIRE', key, TTL)
end
return answer
