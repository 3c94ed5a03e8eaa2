#!lua name=workbench_state

-- Compare and set, in one step. The client decides; this only makes sure that what it decided on
-- still stands. It looks at the head alone, as text: a server that parses the document would turn
-- [] into {} and 2^53 + 1 into 2^53.
--
-- KEYS[1]  the conversation
-- ARGV[1]  the head that must stand there; empty: nothing may stand there
-- ARGV[2]  time to live from now on, ms
-- ARGV[3]  the new text; empty: delete
--
-- and if there is a live index:
-- KEYS[2]  the hash that the conversation stands in
-- ARGV[4]  its field
--
-- Returns 1 if it was written, else what stands there now, or nil if that is nothing. A function
-- without flags is refused as a whole on a replica, and on a server that has no memory left.
redis.register_function('workbench_state', function(keys, args)
  local key, head, ttl_ms, text = keys[1], args[1], args[2], args[3]
  if head == '' then
    local current = redis.call('GET', key)
    if current then
      return current
    end
  elseif redis.call('GETRANGE', key, 0, #head - 1) ~= head then
    return redis.call('GET', key)
  end
  if text == '' then
    redis.call('DEL', key)
  else
    redis.call('SET', key, text, 'PX', ttl_ms)
  end
  if keys[2] then
    local time = redis.call('TIME')
    local until_ms = time[1] * 1000 + math.floor(time[2] / 1000)
    if text == '' then
      until_ms = -until_ms
    else
      until_ms = until_ms + ttl_ms
    end
    redis.call('HSET', keys[2], args[4], string.format('%.0f', until_ms))
  end
  return 1
end)
