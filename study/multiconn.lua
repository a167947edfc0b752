-- What does Wireshark see in this protocol?
--
--   wireshark -X lua_script:study/multiconn.lua FILE.pcap
--   tshark -X lua_script:study/multiconn.lua -r FILE.pcap -Y multiconn
--
-- A message is a 2-byte length (big-endian), a JSON header of so many bytes, and a content of
-- content-length bytes. Messages are put together from as many segments as they came in. The
-- header's fields can be filtered (multiconn.content_type, multiconn.id ...), and so can the code
-- of an error reply (multiconn.error.code), which is also an expert note.
--
-- Port 65432 is ours by default; for another: Decode As, or -d tcp.port==PORT,multiconn.

local multiconn = Proto("multiconn", "multiconn message protocol")

local f = multiconn.fields
f.header_length = ProtoField.uint16("multiconn.header_length", "Header length", base.DEC)
f.header = ProtoField.string("multiconn.header", "Header")
f.byteorder = ProtoField.string("multiconn.byteorder", "Byte order")
f.content_type = ProtoField.string("multiconn.content_type", "Content type")
f.content_encoding = ProtoField.string("multiconn.content_encoding", "Content encoding")
f.content_length = ProtoField.uint64("multiconn.content_length", "Content length", base.DEC)
f.connection = ProtoField.string("multiconn.connection", "Connection")
f.id = ProtoField.string("multiconn.id", "Id")
f.deadline = ProtoField.uint64("multiconn.deadline_ms", "Deadline (ms)", base.DEC)
f.event = ProtoField.string("multiconn.event", "Event")
f.content = ProtoField.bytes("multiconn.content", "Content")
f.text = ProtoField.string("multiconn.text", "Text")
f.action = ProtoField.string("multiconn.action", "Action")
f.error_code = ProtoField.string("multiconn.error.code", "Error code")
f.error_message = ProtoField.string("multiconn.error.message", "Error message")

local e = {
    error = ProtoExpert.new("multiconn.expert.error", "Error reply", expert.group.RESPONSE_CODE, expert.severity.WARN),
    bad = ProtoExpert.new("multiconn.expert.bad", "Not a header", expert.group.MALFORMED, expert.severity.ERROR),
    last = ProtoExpert.new("multiconn.expert.close", "The last message", expert.group.SEQUENCE, expert.severity.CHAT),
}
multiconn.experts = { e.error, e.bad, e.last }

local PREFIX = 2

-- --- JSON, as much of it as a header needs ------------------------------------------------

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function utf8_char(code)
    if code < 0x80 then return string.char(code) end
    if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
    if code < 0x10000 then
        return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
    end
    return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
        0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local parse_value

local function skip(text, at)
    return text:find("[^ \t\r\n]", at) or #text + 1
end

local function parse_string(text, at) -- at: behind the opening quotation mark
    local parts = {}
    while true do
        local stop = text:find('["\\]', at)
        if not stop then error("unterminated") end
        parts[#parts + 1] = text:sub(at, stop - 1)
        if text:sub(stop, stop) == '"' then return table.concat(parts), stop + 1 end
        local kind = text:sub(stop + 1, stop + 1)
        if kind == "u" then
            local code = tonumber(text:sub(stop + 2, stop + 5), 16) or error("escape")
            at = stop + 6
            local low = code >= 0xD800 and code < 0xDC00 and text:match("^\\u(%x%x%x%x)", at)
            if low then
                code = 0x10000 + (code - 0xD800) * 0x400 + (tonumber(low, 16) - 0xDC00)
                at = at + 6
            end
            parts[#parts + 1] = utf8_char(code)
        else
            parts[#parts + 1] = ESCAPES[kind] or error("escape")
            at = stop + 2
        end
    end
end

local function parse_members(text, at, close, depth)
    local found = {}
    at = skip(text, at)
    if text:sub(at, at) == close then return found, at + 1 end
    while true do
        local key, value
        if close == "}" then
            if text:sub(at, at) ~= '"' then error("name") end
            key, at = parse_string(text, at + 1)
            at = skip(text, at)
            if text:sub(at, at) ~= ":" then error("colon") end
            at = skip(text, at + 1)
        end
        value, at = parse_value(text, at, depth + 1)
        found[key or #found + 1] = value
        at = skip(text, at)
        local next = text:sub(at, at)
        if next == close then return found, at + 1 end
        if next ~= "," then error("comma") end
        at = skip(text, at + 1)
    end
end

local NULL = {}

parse_value = function(text, at, depth)
    if depth > 64 then error("depth") end
    local first = text:sub(at, at)
    if first == '"' then return parse_string(text, at + 1) end
    if first == "{" then return parse_members(text, at + 1, "}", depth) end
    if first == "[" then return parse_members(text, at + 1, "]", depth) end
    for word, value in pairs({ ["true"] = true, ["false"] = false, ["null"] = NULL }) do
        if text:sub(at, at + #word - 1) == word then return value, at + #word end
    end
    local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
    if not number then error("value") end
    return tonumber(number), at + #number
end

local function decode(text)
    local ok, value, stop = pcall(parse_value, text, skip(text, 1), 0)
    if not ok or type(value) ~= "table" or skip(text, stop) <= #text then return nil end
    return value
end

-- --- dissecting ---------------------------------------------------------------------------

local function whole_number(value)
    return type(value) == "number" and value >= 0 and value == math.floor(value)
end

-- The header's object, or nil if it is not whole or is none; and its length.
local function header_of(tvb)
    local length = tvb(0, PREFIX):uint()
    if tvb:captured_len() < PREFIX + length then return nil, length end
    return length > 0 and decode(tvb:raw(PREFIX, length)) or nil, length
end

-- How long is the message that begins here? 0: more bytes are needed to know.
local function message_length(tvb, pinfo, offset)
    local rest = tvb(offset):tvb()
    local length = rest(0, PREFIX):uint()
    if rest:captured_len() < PREFIX + length then return PREFIX + length end
    local header = header_of(rest)
    if not header or not whole_number(header["content-length"]) then
        return rest:captured_len() -- lost: the next one's beginning is unknown
    end
    return PREFIX + length + header["content-length"]
end

local FIELDS = {
    { "byteorder", f.byteorder },
    { "content-type", f.content_type },
    { "content-encoding", f.content_encoding },
    { "connection", f.connection },
    { "event", f.event },
}

local function show_content(range, tree, header, summary)
    local item = tree:add(f.content, range)
    if header["content-type"] ~= "text/json" or tostring(header["content-encoding"]):lower() ~= "utf-8" then
        return
    end
    local text = range:raw()
    tree:add(f.text, range, text)
    local value = decode(text)
    if not value then return end
    if type(value.action) == "string" then
        tree:add(f.action, range, value.action)
        summary[#summary + 1] = value.action
    end
    if type(value.error) == "table" and type(value.error.code) == "string" then
        tree:add(f.error_code, range, value.error.code)
        tree:add(f.error_message, range, tostring(value.error.message))
        item:add_proto_expert_info(e.error, "Error reply: " .. value.error.code)
        summary[#summary + 1] = "error " .. value.error.code
    end
end

local function dissect_message(tvb, pinfo, tree)
    pinfo.cols.protocol = "multiconn"
    local root = tree:add(multiconn, tvb())
    local header, length = header_of(tvb)
    root:add(f.header_length, tvb(0, PREFIX))
    if length == 0 then
        root:add_proto_expert_info(e.bad, "The header is empty")
        return tvb:captured_len()
    end
    local range = tvb(PREFIX, math.min(length, tvb:captured_len() - PREFIX))
    local item = root:add(f.header, range, tvb:raw(PREFIX, range:len()))
    if not header or not whole_number(header["content-length"]) then
        item:add_proto_expert_info(e.bad, "No header that says where the next message begins")
        pinfo.cols.info:append(" [no header]")
        return tvb:captured_len()
    end
    local summary = {}
    for _, field in ipairs(FIELDS) do
        if type(header[field[1]]) == "string" then item:add(field[2], range, header[field[1]]) end
    end
    item:add(f.content_length, range, UInt64.new(header["content-length"]))
    if header.id ~= nil and header.id ~= NULL then
        local id = type(header.id) == "number" and string.format("%.0f", header.id) or tostring(header.id)
        item:add(f.id, range, id)
        summary[#summary + 1] = "id " .. id
    end
    if type(header.event) == "string" then summary[#summary + 1] = "event " .. header.event end
    if whole_number(header["deadline-ms"]) then item:add(f.deadline, range, UInt64.new(header["deadline-ms"])) end
    if header.connection == "close" then item:add_proto_expert_info(e.last, "The last message of this side") end
    local rest = tvb:captured_len() - PREFIX - length
    if rest > 0 then show_content(tvb(PREFIX + length, rest), root, header, summary) end
    table.insert(summary, 1, tostring(header["content-type"]) .. " " .. string.format("%.0f", header["content-length"]))
    root:append_text(", " .. table.concat(summary, ", "))
    pinfo.cols.info:append(" [" .. table.concat(summary, ", ") .. "]")
    return tvb:captured_len()
end

function multiconn.dissector(tvb, pinfo, tree)
    dissect_tcp_pdus(tvb, tree, PREFIX, message_length, dissect_message)
    return tvb:captured_len()
end

DissectorTable.get("tcp.port"):add(65432, multiconn)
