-- Asks Postern about a request: http-request lua.postern. The permission is in
-- txn.postern_permission. A request that is let through has txn.postern_allowed, and
-- headers that say who is calling; any other is answered here.

local gateway = "unix@/run/postern/gateway.sock"

local identity = {
    "x-postern-principal", "x-postern-principal-name", "x-postern-type",
    "x-postern-workspace", "x-postern-key", "x-postern-role",
}

-- asked about are the headers that Postern is told, each as often as it is there.
local passed = { "authorization", "x-api-key", "user-agent", "x-request-id" }

-- texts returns the values of a header, which HAProxy counts from 0.
local function texts(headers, name)
    local all = {}
    local values = headers[name]
    local i = 0
    while values and values[i] ~= nil do
        all[#all + 1] = values[i]
        i = i + 1
    end
    return all
end

local function refuse(txn, status, headers, body)
    local reply = txn:reply({ status = status })
    reply:add_header("cache-control", "no-store")
    for name, value in pairs(headers) do
        reply:add_header(name, value)
    end
    reply:set_body(body)
    txn:done(reply)
end

core.register_action("postern", { "http-req" }, function(txn)
    txn:set_var("txn.postern_allowed", false)
    local permission = txn:get_var("txn.postern_permission")
    if not permission then
        return refuse(txn, 500, {}, "")
    end
    local had = txn.http:req_get_headers()
    local headers = { ["x-forwarded-for"] = { txn.f:src() } } -- who connected, whatever the client says
    for _, name in ipairs(passed) do
        headers[name] = texts(had, name)
    end
    local answer = core.httpclient():get({
        url = "http://postern/v1/authorize?permission=" .. permission,
        dst = gateway, headers = headers, timeout = 2000,
    })
    local told = answer and answer.headers or {}
    if answer and answer.status == 200 then
        for _, name in ipairs(identity) do
            txn.http:req_set_header(name, texts(told, name)[1] or "")
        end
        txn:set_var("txn.postern_allowed", true)
        return
    end
    if answer and (answer.status == 401 or answer.status == 403 or answer.status == 500) then
        return refuse(txn, answer.status, {
            ["www-authenticate"] = texts(told, "www-authenticate")[1],
            ["content-type"] = texts(told, "content-type")[1],
        }, answer.body or "")
    end
    refuse(txn, 503, { ["retry-after"] = "1" }, "")
end)
