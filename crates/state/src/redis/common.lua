-- What every script shares. TTL is how long things are remembered, in milliseconds. KEYS[1] is the beginning of all keys; its {tag} puts them into one slot of a cluster.
--
-- i:ISSUE   hash: t title, L level, e environment, E last event, n events, f first seen, s last seen, U users, X users are a floor,
--           r routes; and for each route R: Ra said at, Rq silence, Rb burst told, Rx stopped, Rs events since, Rl last
--           seen, Rv releases
-- h:HASH    the issue of a hash that is not its own     u:ISSUE   its users, a set; beyond 1 000 a HyperLogLog, y:ISSUE
-- w:ISSUE:R times of the last events, oldest first      v:ISSUE:R users of the threshold, by time
-- c:ISSUE   hash: route -> left|told|rests until        recent    issues by when they were seen last
-- quiet:R   issues spoken of, by their last event       rests     ISSUE|ROUTE by when the rest ends
-- m:ROBOT   messages, id -> what is known of them       p:ROBOT   their payloads
-- a:ROBOT   those to be said alone, in order            g:ROBOT   those that are gathered, in order
-- d:ROBOT   when each gathered one is due               o:ROBOT   how old each is, for expiry

local P = KEYS[1]
local call = redis.call
local NOTHING = ''

local function whole(number)
    return string.format('%.0f', number)
end

local function held(issue, route)
    local value = call('HGET', P .. 'c:' .. issue, route)
    if not value then return nil end
    local left, told, rests = string.match(value, '^(%d+)|(%d)|(%d+)$')
    return tonumber(left), told == '1', tonumber(rests)
end

local function is_claimed(issue, route, now)
    local left, _, rests = held(issue, route)
    return left ~= nil and (left > 0 or now < rests)
end

local function release(issue, route)
    call('HDEL', P .. 'c:' .. issue, route)
    call('ZREM', P .. 'rests', issue .. '|' .. route)
end

local function routes_of(issue)
    local routes = {}
    for route in string.gmatch(call('HGET', P .. 'i:' .. issue, 'r') or NOTHING, '%d+') do
        routes[#routes + 1] = route
    end
    return routes
end

local function forget(issue)
    for _, route in ipairs(routes_of(issue)) do
        call('UNLINK', P .. 'w:' .. issue .. ':' .. route, P .. 'v:' .. issue .. ':' .. route)
        call('ZREM', P .. 'quiet:' .. route, issue)
    end
    call('UNLINK', P .. 'i:' .. issue, P .. 'u:' .. issue, P .. 'y:' .. issue)
    call('ZREM', P .. 'recent', issue)
end

-- Notes that a word about an issue was said.
local function tell(word, events, now)
    local key = P .. 'i:' .. word.issue
    local route = word.route
    local known = call('HMGET', key, 'r', route .. 's', route .. 'l')
    if not known[1] then return end
    local since = math.max(0, (tonumber(known[2]) or 0) - events)
    call('HSET', key, route .. 'a', whole(now), route .. 'q', word.silence, route .. 'b', word.burst,
        route .. 'x', word.stopped, route .. 's', whole(since))
    if not string.find(',' .. known[1] .. ',', ',' .. route .. ',', 1, true) then
        call('HSET', key, 'r', known[1] .. ',' .. route)
    end
    if word.stopped == '1' then
        call('ZREM', P .. 'quiet:' .. route, word.issue)
    elseif known[3] then
        call('ZADD', P .. 'quiet:' .. route, known[3], word.issue)
        call('PEXPIRE', P .. 'quiet:' .. route, TTL)
    end
end

-- Adds a word to a list of answers: 0, or 1 and its fields.
local function add_said(answer, at, silence, burst, stopped)
    if not at then
        answer[#answer + 1] = 0
        return
    end
    answer[#answer + 1] = 1
    answer[#answer + 1] = at
    answer[#answer + 1] = silence or 0
    answer[#answer + 1] = burst or 0
    answer[#answer + 1] = stopped or 0
end

-- What is known of a message: priority, put, seq, late after, gather until, and of its word.
local function parcel(robot, id)
    local meta = call('HGET', P .. 'm:' .. robot, id)
    if not meta then return nil end
    local field = cmsgpack.unpack(meta)
    local found = { priority = field[1], put = field[2], seq = field[3], late = field[4], due = field[5] }
    if field[6] ~= NOTHING then
        found.word = { issue = field[6], route = field[7], silence = field[8], burst = field[9], stopped = field[10] }
    end
    return found
end

local function keep_parcel(robot, id, found)
    local word = found.word or { issue = NOTHING, route = NOTHING, silence = 0, burst = 0, stopped = 0 }
    call('HSET', P .. 'm:' .. robot, id, cmsgpack.pack({ found.priority, found.put, found.seq, found.late, found.due,
        word.issue, word.route, word.silence, word.burst, word.stopped }))
    local age = found.put
    if found.due ~= NOTHING then age = math.max(age, tonumber(found.due)) end
    call('ZADD', P .. 'o:' .. robot, whole(age), id)
end

-- Priority first, then when it was put; equals are in order of their members.
local function score(found)
    return whole(found.priority * 35184372088832 + math.min(found.put, 35184372088831))
end

local function member(id, found)
    return string.format('%016.0f', found.seq) .. id
end

local function id_of(name)
    return string.sub(name, 17)
end

-- Takes a message out of a robot's queue, and notes how it ended; events is nil when nobody was told.
local function take_out(robot, id, events, rest, now)
    local found = parcel(robot, id)
    if not found then return false end
    local name = member(id, found)
    call('INCRBY', P .. 'bytes', -call('HSTRLEN', P .. 'p:' .. robot, id))
    call('HDEL', P .. 'm:' .. robot, id)
    call('HDEL', P .. 'p:' .. robot, id)
    call('ZREM', P .. 'o:' .. robot, id)
    call('ZREM', P .. 'a:' .. robot, name)
    call('ZREM', P .. 'g:' .. robot, name)
    call('ZREM', P .. 'd:' .. robot, name)
    local word = found.word
    if not word then return true end
    local left, was_told, rests = held(word.issue, word.route)
    if not left then return true end
    left = math.max(0, left - 1)
    if events == nil then rests = now + rest end
    local is_told = was_told or events ~= nil
    if left == 0 and (is_told or rests <= now) then
        release(word.issue, word.route)
    else
        local value = left .. '|' .. (is_told and 1 or 0) .. '|' .. whole(rests)
        call('HSET', P .. 'c:' .. word.issue, word.route, value)
        if left == 0 then call('ZADD', P .. 'rests', whole(rests), word.issue .. '|' .. word.route) end
    end
    if events ~= nil and not was_told then tell(word, events, now) end
    return true
end

-- Adds a waiting message to a list of answers.
local function add_waiting(answer, robot, id)
    local found = parcel(robot, id)
    local put = { id, found.priority, whole(found.put), found.late, call('HGET', P .. 'p:' .. robot, id) or NOTHING }
    for _, value in ipairs(put) do answer[#answer + 1] = value end
    local tally = {}
    if found.word then
        tally = call('HMGET', P .. 'i:' .. found.word.issue, 'n', found.word.route .. 's', 'U', 'X', 'f', 's')
    end
    if not tally[1] then
        answer[#answer + 1] = 0
        return
    end
    answer[#answer + 1] = 1
    for at = 1, 6 do answer[#answer + 1] = tally[at] or 0 end
end

-- Adds an issue to a list of answers: 0, or 1 and everything that lists show.
local function add_issue(answer, issue)
    local field = call('HMGET', P .. 'i:' .. issue, 't', 'L', 'E', 'e', 'n', 'U', 'X', 'f', 's')
    if not field[5] then
        answer[#answer + 1] = 0
        return
    end
    answer[#answer + 1] = 1
    answer[#answer + 1] = issue
    field[4] = field[4] or NOTHING
    for at = 1, 9 do answer[#answer + 1] = field[at] or 0 end
    local routes = routes_of(issue)
    answer[#answer + 1] = #routes
    for _, route in ipairs(routes) do
        local on = call('HMGET', P .. 'i:' .. issue, route .. 's', route .. 'l', route .. 'a', route .. 'q', route .. 'b',
            route .. 'x')
        answer[#answer + 1] = route
        answer[#answer + 1] = held(issue, route) and 1 or 0
        answer[#answer + 1] = on[1] or 0
        answer[#answer + 1] = on[2] or 0
        add_said(answer, on[3], on[4], on[5], on[6])
    end
end
