#!lua name=workbench_state

-- Compare and set, in one step. The client decides; this only makes sure that what it decided on
-- still stands. It looks at the head alone, as text: a server that parses the document would turn
-- [] into {}, and 2^53 + 1 into 9.007199254741e+15.
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
-- What goes wrong with the index is let go: the write above it stands. Each write also looks at
-- one entry, and takes it away if its conversation has been gone for a day, so that the index does
-- not grow for ever.
--
-- Returns 1 if it was written, else what stands there now, or nil if that is nothing. A function
-- without flags is refused as a whole on a replica, and on a server that has no memory left.
redis.register_function('workbench_state', function(keys, args)
  local call, key, head, ttl_ms, text = redis.call, keys[1], args[1], args[2], args[3]
  if head == '' then
    local current = call('GET', key)
    if current then
      return current
    end
  elseif call('GETRANGE', key, '0', '92') ~= head then -- a head has 93 bytes
    return call('GET', key)
  end
  if text == '' then
    call('DEL', key)
  else
    call('SET', key, text, 'PX', ttl_ms)
  end
  if keys[2] then
    local index, pcall, time = keys[2], redis.pcall, call('TIME')
    local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
    local until_ms = text == '' and -now_ms or now_ms + ttl_ms
    pcall('HSET', index, args[4], string.format('%.0f', until_ms))
    local field = pcall('HRANDFIELD', index)
    local old_ms = type(field) == 'string' and tonumber(call('HGET', index, field))
    if old_ms and math.abs(old_ms) + 86400000 < now_ms then
      pcall('HDEL', index, field)
    end
  end
  return 1
end)
