-- wrk: send random requests out of a file (argument 1) that holds each one after its length.

local pool = {}

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1) -- the line end
    pool[#pool + 1] = file:read(length)
  end
  file:close()
  math.randomseed(os.time())
end

function request()
  return pool[math.random(#pool)]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %.3f %.3f %.3f %d\n",
    summary.requests, summary.duration, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
