-- Applies a batch of records and moves the position in one step.
--
-- KEYS: the positions. ARGV: the partition, the batch's first offset, the offset behind it, whether
-- the partition begins there, then each record as JSON `{o: offset, w: [{k: key, f: fields}]}`.
-- Answers the offset that the view has come to; it is behind the batch unless that was refused.
local from, to = tonumber(ARGV[2]), tonumber(ARGV[3])
local at = redis.pcall('HGET', KEYS[1], ARGV[1])
if type(at) == 'table' then
  redis.call('DEL', KEYS[1])
  at = false
end
at = at and tonumber(at)
if not at then
  if ARGV[4] ~= '1' then return -1 end
  at = from
end
if at < from or at >= to then return at end
for i = 5, #ARGV do
  local record = cjson.decode(ARGV[i])
  if record.o >= at then
    for _, write in ipairs(record.w) do
      redis.call('DEL', write.k)
      for j = 1, #write.f, 2 do
        redis.call('HSET', write.k, write.f[j], write.f[j + 1])
      end
    end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', to))
return to
