"""Does a server read headers as the contract says, and refuse those it can't trust?

A header that can't be trusted is answered `bad-header`, readable, and FIN follows while the peer
has not closed. Bytes are written by hand here where `json.dumps` would write them otherwise.

Not here: contents (`server_encoding`), sizes (`server_limits`).
"""

from __future__ import annotations

import json
import time

from .case import case, each
from .targets import ServerRun
from .wire import ABSENT, RING, framed, header, message, raw_header, search

MESSAGE = "A message"
OPTIONAL = "A message: optional fields"
RIGHT = "the right reply"
BROKEN = "bad-header, then a lingering close"

CONTENT = b'{"action": "search", "value": "ring"}'


def plain(**more: object) -> str:
    """A right header for CONTENT, as text to be spoiled."""
    return json.dumps(raw_header(len(CONTENT), **more))


def refused(run: ServerRun, head: bytes) -> None:
    peer = run.connect()
    peer.send(framed(head) + CONTENT)
    peer.refused("bad-header" if len(head) <= run.options.max_header else "header-too-large")


def served(run: ServerRun, head: bytes) -> None:
    peer = run.connect()
    peer.send(framed(head) + CONTENT)
    peer.result(RING)
    peer.fin()


@each(
    {"HV1.1": "byteorder", "HV1.2": "content-type", "HV1.3": "content-encoding", "HV1.4": "content-length"},
    "a header without {0}",
    star=True,
    mechanism="required field missing",
    section=MESSAGE,
    expected=BROKEN,
)
def required_field_missing(run: ServerRun, field: str) -> None:
    fields = raw_header(len(CONTENT))
    del fields[field]
    refused(run, json.dumps(fields).encode())


@each(
    {"HV2.1": "[]", "HV2.2": "0", "HV2.3": '"x"', "HV2.4": "null", "HV2.5": "true", "HV2.6": "{}"},
    "the header is {0}",
    star=True,
    mechanism="header is no such object",
    section=MESSAGE,
    expected=BROKEN,
)
def no_object(run: ServerRun, text: str) -> None:
    refused(run, text.encode())


@case(
    "HV3",
    "extra fields, of every JSON type",
    mechanism="unknown fields",
    section=MESSAGE,
    expected=RIGHT,
)
def extra_fields(run: ServerRun) -> None:
    more = {"x": [1, {"y": None}], "": True, "content_length": 3, "Content-Length": "no", "é🐶": -1e-9}
    served(run, json.dumps({**more, **raw_header(len(CONTENT))}).encode())


@case("HV3.2", "an unknown field twice", mechanism="unknown field repeated", section=MESSAGE, expected=RIGHT)
def extra_field_twice(run: ServerRun) -> None:
    served(run, (plain()[:-1] + ', "x": 1, "x": 2}').encode())


@each(
    {
        "HV4": ("content-length", '"content-length": 37'),
        "HV4.2": ("content-length, another value", '"content-length": 5'),
        "HV4.3": ("content-type", '"content-type": "text/json"'),
        "HV4.4": ("content-encoding", '"content-encoding": "utf-8"'),
        "HV4.5": ("byteorder", '"byteorder": "little"'),
    },
    "{0}, twice",
    star=True,
    mechanism="required field repeated",
    section=MESSAGE,
    expected=BROKEN,
)
def repeated(run: ServerRun, name: str, member: str) -> None:
    refused(run, f"{plain()[:-1]}, {member}}}".encode())


@case(
    "HV4.6",
    "content-length twice, once spelled with an escape",
    star=True,
    mechanism="repeated under another spelling",
    section=MESSAGE,
    expected=BROKEN,
)
def repeated_by_an_escape(run: ServerRun) -> None:
    refused(run, (plain()[:-1] + ', "content\\u002dlength": 5}').encode())


@each(
    {
        "HV5": "-3",
        "HV6": "true",
        "HV7": '"5"',
        "HV7.2": "5.0",
        "HV7.3": "null",
        "HV7.4": "NaN",
        "HV7.5": "37e0",
        "HV7.6": "[37]",
        "HV7.7": "Infinity",
        "HV7.8": "037",
        "HV7.9": "+37",
        "HV7.10": "0x25",
        "HV7.11": "-1000000000000000000000000000000",
        "HV7.12": "false",
    },
    "content-length: {0}",
    star=True,
    mechanism="content-length of another kind",
    section=MESSAGE,
    expected=BROKEN,
)
def odd_length(run: ServerRun, literal: str) -> None:
    refused(run, plain().replace('"content-length": 37', f'"content-length": {literal}').encode())


@each(
    {"HV8": ("10^30", "1" + "0" * 30), "HV8.2": ("2^63", str(1 << 63)), "HV8.3": ("2^64 + 5", str((1 << 64) + 5))},
    "content-length: {0}",
    star=True,
    mechanism="content-length beyond any machine's",
    section="Errors: content-too-large",
    expected="content-too-large at once, then a lingering close",
)
def enormous_length(run: ServerRun, name: str, literal: str) -> None:
    peer = run.connect()
    peer.send(framed(plain().replace('"content-length": 37', f'"content-length": {literal}').encode()))
    peer.refused("content-too-large")


@case(
    "HV8.4",
    "content-length: a number of 5,000 digits",
    star=True,
    mechanism="integer of thousands of digits",
    section="Errors: content-too-large",
    expected="content-too-large or bad-header at once, then a lingering close",
)
def digits_without_end(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(framed(plain().replace('"content-length": 37', f'"content-length": {"9" * 5000}').encode()))
    peer.refused("content-too-large", "bad-header")


@each(
    {"HV9": "NaN", "HV9.2": "Infinity", "HV9.3": "-Infinity"},
    "{0} in an unknown field",
    star=True,
    mechanism="constants that are not JSON",
    section=MESSAGE,
    expected=BROKEN,
)
def constants(run: ServerRun, literal: str) -> None:
    refused(run, f'{plain()[:-1]}, "x": {literal}}}'.encode())


@case("HV10", "a header nested 32 deep", mechanism="deepest nesting", section=MESSAGE, expected=RIGHT)
def nested_as_deep_as_may_be(run: ServerRun) -> None:
    served(run, f'{plain()[:-1]}, "x": {"[" * 31}{"]" * 31}}}'.encode())


@each(
    {"HV10.2": ("33 deep", 32), "HV10.3": ("5,000 deep", 4999), "HV10.4": ("30,000 deep", 29_999)},
    "a header nested {0}",
    star=True,
    mechanism="nested too deep",
    section=MESSAGE,
    expected=BROKEN,
)
def nested_too_deep(run: ServerRun, name: str, levels: int) -> None:
    refused(run, f'{plain()[:-1]}, "x": {"[" * levels}{"]" * levels}}}'.encode())


@case("HV10.5", "nested objects, 33 deep", star=True, mechanism="nested too deep", section=MESSAGE, expected=BROKEN)
def objects_too_deep(run: ServerRun) -> None:
    refused(run, plain()[:-1].encode() + b', "x": ' + b'{"a":' * 31 + b"{}" + b"}" * 31 + b"}")


@each(
    {
        "HV11": ("bytes that are not UTF-8", b'"\xff\xfe"'),
        "HV11.2": ("an overlong form", b'"\xc0\xaf"'),
        "HV11.3": ("a surrogate in UTF-8", b'"\xed\xa0\x80"'),
        "HV11.4": ("a cut character", b'"\xf0\x9f\x90"'),
    },
    "{0} in an unknown field",
    star=True,
    mechanism="bad UTF-8",
    section=MESSAGE,
    expected=BROKEN,
)
def bad_utf_8(run: ServerRun, name: str, value: bytes) -> None:
    refused(run, plain()[:-1].encode() + b', "x": ' + value + b"}")


@case("HV11.5", "a header that starts with a BOM", star=True, mechanism="BOM", section=MESSAGE, expected=BROKEN)
def byte_order_mark(run: ServerRun) -> None:
    refused(run, b"\xef\xbb\xbf" + plain().encode())


@case(
    "HV11.6",
    "a header in UTF-16",
    star=True,
    mechanism="header in another encoding",
    section=MESSAGE,
    expected=BROKEN,
)
def header_in_utf_16(run: ServerRun) -> None:
    refused(run, plain().encode("utf-16-le"))


@each(
    {
        "HV12": ("bytes after the JSON", "{0}x"),
        "HV12.2": ("a NUL after the JSON", "{0}\0"),
        "HV12.3": ("two objects", "{0}{0}"),
        "HV12.4": ("a comma after the last field", "{1},}}"),
        "HV12.5": ("a comment", "{1}/* no */}}"),
        "HV12.6": ("a header that is cut", "{1}"),
        "HV12.7": ("a bare control character in a string", '{1}, "x": "\n"}}'),
        "HV12.8": ("an escape that JSON lacks", '{1}, "x": "\\x41"}}'),
        "HV12.9": ("a form feed as white space", "\f{0}"),
    },
    "{0}",
    star=True,
    mechanism="not exactly one JSON object",
    section=MESSAGE,
    expected=BROKEN,
)
def not_json(run: ServerRun, name: str, form: str) -> None:
    refused(run, form.format(plain(), plain()[:-1]).encode())


@case(
    "HV12.10",
    "single quotes",
    star=True,
    mechanism="not exactly one JSON object",
    section=MESSAGE,
    expected=BROKEN,
)
def single_quotes(run: ServerRun) -> None:
    refused(run, plain().replace('"', "'").encode())


@each(
    {"HV13": '"middle"', "HV13.2": "7", "HV13.3": "null", "HV13.4": '"big"'},
    "byteorder: {0}",
    mechanism="byteorder is ignored",
    section=MESSAGE,
    expected=RIGHT,
)
def byteorder(run: ServerRun, literal: str) -> None:
    fields = raw_header(len(CONTENT))
    served(run, json.dumps({**fields, "byteorder": json.loads(literal)}).encode())


@case("HV14", "fields in another order", mechanism="order of fields", section=MESSAGE, expected=RIGHT)
def reordered(run: ServerRun) -> None:
    served(run, json.dumps(dict(reversed(raw_header(len(CONTENT)).items()))).encode())


@case("HV14.2", "odd white space, before and behind too", mechanism="white space", section=MESSAGE, expected=RIGHT)
def white_space(run: ServerRun) -> None:
    odd = " \t\r\n"
    served(run, (odd + plain().replace(" ", odd).replace("}", odd + "}") + odd * 3).encode())


@case("HV14.3", "no white space", mechanism="white space", section=MESSAGE, expected=RIGHT)
def no_white_space(run: ServerRun) -> None:
    served(run, json.dumps(raw_header(len(CONTENT)), separators=(",", ":")).encode())


@case(
    "HV14.4",
    "field names and values spelled with escapes",
    mechanism="escapes in names",
    section=MESSAGE,
    expected=RIGHT,
)
def escaped_names(run: ServerRun) -> None:
    served(run, plain().replace("content-", "c\\u006fntent\\u002d").replace("text/json", "text\\/jso\\u006e").encode())


@each(
    {"HV15": "5", "HV15.2": "null", "HV15.3": '["text/json"]', "HV15.4": "true"},
    "content-type: {0}",
    star=True,
    mechanism="content-type is no string",
    section=MESSAGE,
    expected=BROKEN,
)
def odd_type(run: ServerRun, literal: str) -> None:
    refused(run, plain().replace('"text/json"', literal).encode())


@each(
    {"HV16": "null", "HV16.2": "5", "HV16.3": '"rot13"', "HV16.4": '["x"]'},
    "content-encoding: {0} on a binary request",
    mechanism="encoding of binary not looked at",
    section=MESSAGE,
    expected="the first 10 bytes",
)
def binary_encoding(run: ServerRun, literal: str) -> None:
    peer = run.connect()
    peer.send(message(b"abc", "binary/x", json.loads(literal)))
    peer.content(b"First 10 bytes of request: abc", "binary/custom-server-binary-type")
    peer.fin()


@each(
    {
        "HV17": "text/JSON",
        "HV17.2": "text/json; charset=utf-8",
        "HV17.3": "",
        "HV17.4": "application/json\0\n",
        "HV17.5": " text/json",
    },
    "content-type: {0!r}",
    mechanism="types are compared as written",
    section=MESSAGE,
    expected="opaque bytes: the first 10",
)
def types_as_written(run: ServerRun, type: str) -> None:
    peer = run.connect()
    peer.send(message(CONTENT, type))
    peer.content(b"First 10 bytes of request: " + CONTENT[:10], "binary/custom-server-binary-type")
    peer.fin()


@each(
    {
        "HV18": ("a string of 64 characters", "x" * 64),
        "HV18.2": ("64 characters beyond the BMP", "\N{DOG FACE}" * 64),
        "HV18.3": ("the empty string", ""),
        "HV18.4": ("2^53", 1 << 53),
        "HV18.5": ("-2^53", -(1 << 53)),
        "HV18.6": ("0", 0),
        "HV18.7": ("quotes, backslashes, controls, NUL", '"\\\x00\x1f\x7f/\n'),
        "HV18.8": ("a lone surrogate", "\ud800"),
        "HV18.9": ('the string "1"', "1"),
    },
    "id: {0}",
    star=True,
    mechanism="ids are echoed",
    section=OPTIONAL,
    expected="the same id, of the same type",
)
def ids(run: ServerRun, name: str, id: object) -> None:
    peer = run.connect()
    peer.send(search("ring", id=id))
    peer.result(RING, id=id)
    peer.fin()


@each(
    {
        "HV19": ("a string of 65 characters", "x" * 65),
        "HV19.2": ("2^53 + 1", (1 << 53) + 1),
        "HV19.3": ("-2^53 - 1", -(1 << 53) - 1),
        "HV19.4": ("true", True),
        "HV19.5": ("1.0", 1.0),
        "HV19.6": ("null", None),
        "HV19.7": ("an array", []),
        "HV19.8": ("an object", {}),
    },
    "id: {0}",
    star=True,
    mechanism="ids that may not be",
    section=OPTIONAL,
    expected=BROKEN,
)
def odd_ids(run: ServerRun, name: str, id: object) -> None:
    refused(run, plain(id=id).encode())


@each(
    {
        "HV20": ("unknown-action", search("x").replace(b'"search"', b'"s_arch"')),
        "HV20.2": ("bad-content", b"{nonsense}"),
        "HV20.3": ("unsupported-encoding", "rot13"),
        "HV20.4": ("bad-request", b"[]"),
    },
    "{0}, to a request with an id",
    star=True,
    mechanism="errors carry the id",
    section="Replies",
    expected="{0} with that id, still usable",
)
def errors_carry_the_id(run: ServerRun, code: str, content: bytes | str) -> None:
    peer = run.kept()
    if code == "unknown-action":
        peer.send(message(b'{"action": "no such action"}', id="its id"))
    elif isinstance(content, str):
        peer.send(message(b"{}", encoding=content, id="its id"))
    else:
        peer.send(message(content, id="its id"))
    peer.error(code, id="its id")
    peer.usable()


@case(
    "HV20.5",
    "bad-header, to a header with an id",
    star=True,
    mechanism="no id from a header that is not valid",
    section="Replies",
    expected="bad-header without an id",
)
def no_id_of_an_invalid_header(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(framed(plain(id="its id", deadline_ms=-1).encode()) + CONTENT)
    peer.refused("bad-header")


@each(
    {
        "HV21": "-1",
        "HV21.2": "86400001",
        "HV21.3": "true",
        "HV21.4": '"5"',
        "HV21.5": "1.5",
        "HV21.6": "null",
    },
    "deadline-ms: {0}",
    star=True,
    mechanism="deadlines that may not be",
    section=OPTIONAL,
    expected=BROKEN,
)
def odd_deadlines(run: ServerRun, literal: str) -> None:
    refused(run, plain(deadline_ms=json.loads(literal)).encode())


@case("HV21.7", "deadline-ms: 86400000", mechanism="longest deadline", section=OPTIONAL, expected=RIGHT)
def longest_deadline(run: ServerRun) -> None:
    served(run, plain(deadline_ms=86_400_000).encode())


@case(
    "HV22",
    "deadline-ms: 0",
    star=True,
    mechanism="deadline that is over",
    section="Errors: deadline-exceeded",
    expected="deadline-exceeded, still usable",
)
def no_time_at_all(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(search("ring", deadline_ms=0, id=1) + search("ring", id=2))
    peer.error("deadline-exceeded", id=1)
    peer.result(RING, id=2)


@case(
    "HV22.2",
    "deadline-ms: 100, and the content comes 400 ms after the header",
    star=True,
    mechanism="deadline counted from the header",
    section=OPTIONAL,
    expected="deadline-exceeded, still usable",
)
def content_after_the_deadline(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(header(len(CONTENT), deadline_ms=100))
    time.sleep(0.4)
    peer.send(CONTENT)
    peer.error("deadline-exceeded")
    peer.usable()


@case(
    "HV22.3",
    "the header comes slowly, its deadline-ms is shorter than that",
    star=True,
    mechanism="deadline counted from the header's end",
    section=OPTIONAL,
    expected=RIGHT,
)
def deadline_begins_at_the_header_s_end(run: ServerRun) -> None:
    peer = run.kept()
    request = search("ring", deadline_ms=700)
    peer.send(request[:20])
    time.sleep(1.0)
    peer.send(request[20:])
    peer.result(RING)


@each(
    {"HV23": '"upgrade"', "HV23.2": '"Keep-Alive"', "HV23.3": '""', "HV23.4": '"keep-alive, close"'},
    "connection: {0}",
    mechanism="unknown connection string",
    section=OPTIONAL,
    expected="ignored: one reply, then FIN",
)
def unknown_connection(run: ServerRun, literal: str) -> None:
    served(run, plain(connection=json.loads(literal)).encode())


@each(
    {"HV24": "true", "HV24.2": "1", "HV24.3": "null", "HV24.4": '["keep-alive"]'},
    "connection: {0}",
    star=True,
    mechanism="connection is no string",
    section=OPTIONAL,
    expected=BROKEN,
)
def odd_connection(run: ServerRun, literal: str) -> None:
    refused(run, plain(connection=json.loads(literal)).encode())


@each(
    {"HV25": '"news"', "HV25.2": "5", "HV25.3": "null"},
    "event: {0} on a request",
    mechanism="event on a request",
    section=OPTIONAL,
    expected="served: the field means something only to a client",
)
def event_on_a_request(run: ServerRun, literal: str) -> None:
    peer = run.connect()
    peer.send(framed(plain(event=json.loads(literal)).encode()) + CONTENT)
    if peer.result(RING).header.get("event", ABSENT) is not ABSENT:
        run.deviates("a reply without event", "event on an answer")
    peer.fin()


#: What comes to a wrong port, as far as its sender goes before it waits for an answer. Read as a prefix its
#: first two bytes say how much the header has: more than comes.
FOREIGN = {
    "HV26": ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "HV26.2": ("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 60),
    "HV26.3": ("a PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 65432\r\n"),
    "HV26.4": ("a PROXY header, version 2", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"),
    "HV26.5": ("a text, as an echo client's", b"Message 1 from client."),
    "HV26.6": ("JSON without a header", CONTENT),
    "HV26.7": ("a byte order mark", b"\x01\x00\xef\xbb\xbf{"),
    "HV26.8": ("white space, then a list", b"\x01\x00 \r\n\t["),
}


@each(
    FOREIGN,
    "a message that begins with {0}, and no more",
    star=True,
    mechanism="header can't become an object",
    section=MESSAGE,
    expected="bad-header at the first byte behind the prefix that is no white space, then a lingering close",
)
def foreign(run: ServerRun, what: str, data: bytes) -> None:
    peer = run.connect()
    peer.send(data)
    length = int.from_bytes(data[:2], "big")
    peer.refused("bad-header" if length <= run.options.max_header else "header-too-large")


@case(
    "HV27",
    "white space before the header's object, each byte in a segment of its own",
    mechanism="white space before the object",
    section=MESSAGE,
    expected=RIGHT,
)
def white_space_first(run: ServerRun) -> None:
    peer = run.connect()
    data = framed(b" \t\r\n" + plain().encode()) + CONTENT
    for byte in data[:8]:
        peer.send(bytes([byte]))
        time.sleep(0.01)
    peer.send(data[8:])
    peer.result(RING)
    peer.fin()
