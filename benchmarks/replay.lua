-- wrk: send random requests out of a file (argument 1) that holds each one after its length.
-- A mark of eight "@" is replaced by a running number: see pools.py.

local heads, tails = {}, {}
local number = os.time() % 50000 * 1000

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1) -- the line end
    local request = file:read(length)
    local first, last = request:find("@@@@@@@@", 1, true)
    heads[#heads + 1] = first and request:sub(1, first - 1) or request
    tails[#heads] = first and request:sub(last + 1) or false
  end
  file:close()
  math.randomseed(os.time())
end

function request()
  local place = math.random(#heads)
  local tail = tails[place]
  if not tail then return heads[place] end
  number = (number + 1) % 100000000
  return heads[place] .. string.format("%08d", number) .. tail
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %.3f %.3f %.3f %d\n",
    summary.requests, summary.duration, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
