-- The request wrk sends. Environment: TOKENS (a file, one token a line), COUNT (how many of them, 1: always the first),
-- FIRST (the line to begin with, counted from 0).
local path, count = os.getenv("TOKENS"), tonumber(os.getenv("COUNT") or "1")
local first = tonumber(os.getenv("FIRST") or "0")
local target = "/api/orders/42?expand=items"
local requests, n, i = {}, 0, 0

wrk.path = target
wrk.headers["User-Agent"] = "bench/1.0"
wrk.headers["Accept"] = "application/json"
wrk.headers["X-Request-ID"] = "0123456789abcdef"

if count == 1 then
  wrk.headers["Authorization"] = "Bearer " .. io.lines(path)()
else
  function init()
    for line in io.lines(path) do
      wrk.headers["Authorization"] = "Bearer " .. line
      n = n + 1
      requests[n] = wrk.format(nil, target)
      if n == count then break end
    end
    i = first % n
  end
  function request()
    i = i % n + 1
    return requests[i]
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('JSON {"requests":%d,"us":%d,"p50":%d,"p99":%d,"status":%d,"socket":%d}\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
