-- Refreshes sessions over and over. Environment: SESSIONS (a file, one refresh token a line, more lines than connections;
-- what is left at the end is written back), APIKEY.
local path = os.getenv("SESSIONS")
local tokens, n, refused = {}, 0, 0

wrk.method = "POST"
wrk.path = "/authentication/refresh"
wrk.headers["apikey"] = os.getenv("APIKEY")
wrk.headers["Content-Type"] = "application/json"

function init()
  for line in io.lines(path) do
    n = n + 1
    tokens[n] = line
  end
end

-- A token is taken out while it is under way and its successor put in: none is ever used twice.
function request()
  local token = table.remove(tokens, 1)
  if not token then error("more requests under way than sessions") end
  return wrk.format(nil, nil, nil, '{"refresh_token":"' .. token .. '"}')
end

function response(status, headers, body)
  local token = string.match(body, '"refresh_token":"([^"]+)"')
  if status == 200 and token then
    tokens[#tokens + 1] = token
  else
    refused = refused + 1
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('JSON {"requests":%d,"us":%d,"p50":%d,"p99":%d,"status":%d,"socket":%d}\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
