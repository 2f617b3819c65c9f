-- Before this stand: method, path, body (nil, or a text in which every %d becomes a number never used
-- before, every %c a customer's number), first_customer, customers, and groups (a list of header tables that take turns).
local prepared = {}
local turn = 0
local refused = 0
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  for i, headers in ipairs(groups) do
    prepared[i] = wrk.format(method, path, headers, nil)
  end
  math.randomseed(os.time() + tonumber(tostring({}):match("0x(%x+)"), 16) % 1000000)
  turn = math.random(1, 100000) * 1000000
  bad = 0
end

function request()
  turn = turn + 1
  if body == nil then
    return prepared[turn % #prepared + 1]
  end
  local text = body:gsub("%%d", string.format("%.0f", turn))
  text = text:gsub("%%c", string.format("%.0f", first_customer + turn % customers))
  local headers = groups[turn % #groups + 1]
  return wrk.format(method, path, headers, text)
end

function response(status)
  if status < 200 or status > 299 then
    bad = bad + 1
  end
end

function done(summary, latency, requests)
  local failures = summary.errors.connect + summary.errors.read + summary.errors.timeout
  for _, thread in ipairs(threads) do
    failures = failures + thread:get("bad")
  end
  io.write(string.format(
    'RESULT {"per_second": %.3f, "p50": %.3f, "p99": %.3f, "failures": %d, "sent": %d}\n',
    summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    failures, summary.requests))
end
