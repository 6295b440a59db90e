-- Mixed traffic for wrk: mostly known and new tokens, some refusals, bodies, connections that end. TOKENS names a file of
-- tokens, KEY is the product's key. Statuses are counted; anything but the four expected is written out.
local tokens, n, i = {}, 0, 0
local key = os.getenv("KEY")
counts = {}
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init()
  for line in io.lines(os.getenv("TOKENS")) do
    n = n + 1
    tokens[n] = line
  end
end

function request()
  i = i + 1
  local h = {apikey = key, ["Authorization"] = "Bearer " .. tokens[i % 97 == 0 and (i % n) + 1 or (i % 50) + 1]}
  local kind = i % 40
  if kind == 1 then h["Authorization"] = "Bearer " .. string.sub(tokens[1], 1, -6) .. "AAAAA" end
  if kind == 2 then return wrk.format("GET", "/nowhere", h) end
  if kind == 3 then return wrk.format("GET", "/admin/x", h) end
  if kind == 4 then h["Authorization"], h["apikey"] = nil, nil end
  if kind == 5 and i % 200 == 5 then h["Connection"] = "close" end
  return wrk.format("GET", "/user/orders/" .. i % 1000 .. "?a=b", h)
end

function response(status) counts[status] = (counts[status] or 0) + 1 end

function done(summary)
  local all = {}
  for _, thread in ipairs(threads) do
    for status, count in pairs(thread:get("counts")) do all[status] = (all[status] or 0) + count end
  end
  local e = summary.errors
  local parts = {}
  for status, count in pairs(all) do table.insert(parts, string.format('"%d":%d', status, count)) end
  io.write(string.format('JSON {"requests":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":{%s}}\n',
    summary.requests, e.connect, e.read, e.write, e.timeout, table.concat(parts, ",")))
end
