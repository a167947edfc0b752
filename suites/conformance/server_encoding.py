"""Does a server read contents as the contract says, and answer word for word?

Not here: headers (`server_header`), how much content there may be (`server_limits`).
"""

from __future__ import annotations

import json

from .case import Failed, case, each
from .peer import Peer
from .targets import ServerRun
from .wire import ABSENT, DOG, JSON, MORPHEUS, RING, action, binary, message, search

MESSAGE = "A message: content-encoding"
REPLIES = "Replies"
STAYS = "{0}, still usable"
CUSTOM = "binary/custom-server-binary-type"


def kept_error(run: ServerRun, code: str, content: bytes, encoding: object = "utf-8") -> Peer:
    """An error reply, and the connection goes on."""
    peer = run.kept()
    peer.send(message(content, JSON, encoding, id=7))
    peer.error(code, id=7)
    peer.usable()
    return peer


@each(
    {"EN1": "{}", "EN1.2": "[]", "EN1.3": "0", "EN1.4": '""', "EN1.5": "null", "EN1.6": "false"},
    "the content is {0}",
    star=True,
    mechanism="valid content that is false to Python",
    section="Errors: bad-request",
    expected="bad-request, still usable",
)
def falsy(run: ServerRun, text: str) -> None:
    kept_error(run, "bad-request", text.encode())


@case(
    "EN1.7",
    "content {} on a one-shot connection",
    star=True,
    mechanism="valid content that is false to Python",
    section="Errors: bad-request",
    expected="bad-request, then FIN",
)
def falsy_once(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(message(b"{}"))
    peer.error("bad-request")
    peer.fin()


@each(
    {"EN2": ("binary/x", b"First 10 bytes of request: ", CUSTOM), "EN2.2": ("binary/echo", b"", "binary/echo")},
    "a zero-length {0} request",
    star=True,
    mechanism="zero-length binary",
    section=REPLIES,
    expected="a reply",
)
def zero_length(run: ServerRun, type: str, answer: bytes, answer_type: str) -> None:
    peer = run.kept()
    peer.send(binary(b"", type))
    peer.content(answer, answer_type)
    peer.usable()


@case(
    "EN3",
    "a zero-length text/json request",
    star=True,
    mechanism="zero-length JSON",
    section="Errors: bad-content",
    expected="bad-content, still usable",
)
def zero_length_json(run: ServerRun) -> None:
    kept_error(run, "bad-content", b"")


@each(
    {
        "EN4": '{"action": 5}',
        "EN4.2": '{"action": null}',
        "EN4.3": '{"value": "ring"}',
        "EN4.4": '[{"action": "search"}]',
        "EN4.5": '{"Action": "search"}',
        "EN4.6": '"search"',
        "EN4.7": '{"action": ["search"]}',
    },
    "content {0}",
    star=True,
    mechanism="no action string",
    section="Errors: bad-request",
    expected="bad-request, still usable",
)
def no_action(run: ServerRun, text: str) -> None:
    kept_error(run, "bad-request", text.encode())


@each(
    {
        "EN5": "rot13",
        "EN5.2": "zlib_codec",
        "EN5.3": "no-such-encoding",
        "EN5.4": "utf-8\0",
        "EN5.5": "idna",
        "EN5.6": "punycode",
        "EN5.7": "undefined",
        "EN5.8": "unicode_escape",
        "EN5.9": "raw_unicode_escape",
        "EN5.10": "utf-7",
        "EN5.11": "base64_codec",
        "EN5.12": "hex",
        "EN5.13": "",
        "EN5.14": "locale",
        "EN5.15": "../../etc/passwd",
        "EN5.16": "os",
    },
    "content-encoding: {0!r}",
    star=True,
    mechanism="encodings that are not offered",
    section=MESSAGE,
    expected="unsupported-encoding, still usable",
)
def unsupported(run: ServerRun, encoding: str) -> None:
    kept_error(run, "unsupported-encoding", b'{"action": "search", "value": "ring"}', encoding)


@each(
    {"EN5.20": "5", "EN5.21": "null", "EN5.22": "true", "EN5.23": '["utf-8"]', "EN5.24": "{}"},
    "content-encoding: {0}",
    star=True,
    mechanism="encoding is no string",
    section=MESSAGE,
    expected="unsupported-encoding, still usable",
)
def encoding_no_string(run: ServerRun, literal: str) -> None:
    kept_error(run, "unsupported-encoding", b"{}", json.loads(literal))


@case(
    "EN5.25",
    "content-encoding: a name of 10,000 characters",
    star=True,
    mechanism="endless name of an encoding",
    section=MESSAGE,
    expected="unsupported-encoding, briefly; still usable",
)
def endless_name(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(message(b"{}", JSON, "x" * min(10_000, run.options.max_header - 200)))
    answer = peer.error("unsupported-encoding")
    if len(answer.content) > 5000:
        run.deviates("an error shorter than what it quotes", f"{len(answer.content)} bytes")
    peer.usable()


@each(
    {
        "EN6": ("bytes that are not UTF-8", b'{"action": "\xff"}'),
        "EN6.2": ("a cut character", b'{"action": "echo", "value": "\xf0\x9f"}'),
        "EN6.3": ("JSON that ends early", b'{"action": "search"'),
        "EN6.4": ("something behind the JSON", b'{"action": "search"} x'),
        "EN6.5": ("NaN", b'{"action": "echo", "value": NaN}'),
        "EN6.6": ("-Infinity", b'{"action": "echo", "value": -Infinity}'),
        "EN6.7": ("a control character in a string", b'{"action": "echo", "value": "\n"}'),
        "EN6.8": ("a BOM before UTF-8", b'\xef\xbb\xbf{"action": "search", "value": "ring"}'),
        "EN6.9": ("white space alone", b" \n"),
        "EN6.10": ("a surrogate in UTF-8", b'{"action": "echo", "value": "\xed\xa0\x80"}'),
        "EN6.11": ("a comma too many", b'{"action": "search",}'),
    },
    "the content holds {0}",
    star=True,
    mechanism="content that can't be decoded",
    section="Errors: bad-content",
    expected="bad-content, still usable",
)
def bad_content(run: ServerRun, name: str, content: bytes) -> None:
    kept_error(run, "bad-content", content)


@each(
    {
        "EN6.20": ("nested 100,000 deep", b"[" * 100_000 + b"]" * 100_000),
        "EN6.21": ("objects nested 50,000 deep", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        "EN6.22": ("with an integer of 5,000 digits", b"9" * 5000),
        "EN6.24": ("that makes the content 129 levels deep", b"[" * 128 + b"]" * 128),
    },
    "a value {0}",
    star=True,
    mechanism="too deep or too long for a parser",
    section="Errors: bad-content",
    expected="bad-content, or the value back; still usable",
)
def too_much(run: ServerRun, name: str, value: bytes) -> None:
    peer = run.kept()
    peer.send(message(b'{"action": "confirm", "value": ' + value + b"}"))
    answer = peer.reply()
    if answer.code not in (None, "bad-content", "handler-failed"):
        raise Failed("bad-content, or a result", str(answer))
    peer.usable()


@case(
    "EN6.23",
    "a content 128 levels deep",
    star=True,
    mechanism="too deep or too long for a parser",
    section="Errors: bad-content",
    expected="the right reply",
)
def as_deep_as_may_be(run: ServerRun) -> None:
    peer = run.kept()
    value: list[object] = []
    for _ in range(126):
        value = [value]
    peer.send(action("echo", value))
    peer.result(value)
    peer.usable()


@case(
    "EN7",
    'echo of "\\ud800"',
    star=True,
    mechanism="lone surrogate",
    section=REPLIES,
    expected="the same value, escaped in valid UTF-8",
)
def lone_surrogate(run: ServerRun) -> None:
    peer = run.kept()
    for escaped in ("\\ud800", "\\udfff", "a\\udc00\\ud800b"):
        peer.send(message(f'{{"action": "echo", "value": "{escaped}"}}'.encode()))
        answer = peer.result(json.loads(f'"{escaped}"'))
        if b"\\u" not in answer.content.lower():
            raise Failed("a lone surrogate to be escaped", repr(answer.content))


@each(
    {
        "EN8": "utf-16",
        "EN8.2": "utf-8-sig",
        "EN8.3": "utf-16-be",
        "EN8.4": "utf-32",
        "EN8.5": "latin-1",
        "EN8.6": "gb18030",
        "EN8.7": "cp037",
        "EN8.8": "UTF8",
        "EN8.9": "Utf_16_Le",
        "EN8.10": "ascii",
        "EN8.11": "shift_jis",
        "EN8.12": "koi8-r",
        "EN8.13": "iso2022_jp",
    },
    "a request in {0}",
    mechanism="text encodings",
    section=MESSAGE,
    expected="the right reply, in UTF-8",
)
def encodings(run: ServerRun, encoding: str) -> None:
    content = '{"action": "search", "value": "ring"}'.encode(encoding)
    peer = run.connect()
    peer.send(message(content, JSON, encoding))
    peer.result(RING)
    peer.fin()


@case(
    "EN8.20",
    "bytes that the named encoding lacks",
    star=True,
    mechanism="content in another encoding than named",
    section="Errors: bad-content",
    expected="bad-content, still usable",
)
def not_in_that_encoding(run: ServerRun) -> None:
    peer = run.kept()
    for encoding, content in (("ascii", "é".encode()), ("utf-16-le", b"{}{"), ("utf-32", b"\x00\xd8\x00\x00")):
        peer.send(message(content, JSON, encoding))
        peer.error("bad-content")
    peer.usable()


@case(
    "EN9",
    "non-ASCII in a reply",
    mechanism="non-ASCII unescaped",
    section=REPLIES,
    expected="unescaped UTF-8",
)
def unescaped(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("\N{DOG FACE}"))
    answer = peer.result(DOG)
    if b"\\u" in answer.content:
        run.deviates("non-ASCII characters unescaped", repr(answer.content))
    peer.fin()


@each(
    {"EN11": "no such action", "EN11.2": "", "EN11.3": "é🐶", "EN11.4": "Search", "EN11.5": "__class__"},
    "action {0!r}",
    star=True,
    mechanism="unknown action",
    section="Errors: unknown-action",
    expected="unknown-action with the tutorial's words, still usable",
)
def unknown_action(run: ServerRun, name: str) -> None:
    peer = run.kept()
    peer.send(action(name, "x"))
    answer = peer.error("unknown-action")
    if answer.result != f"Error: invalid action '{name}'.":
        raise Failed(f"result \"Error: invalid action '{name}'.\"", str(answer))
    peer.usable()


@each(
    {"EN12": 3, "EN12.2": 10, "EN12.3": 11, "EN12.4": 100_000},
    "{0} bytes of an unknown type",
    mechanism="first ten bytes",
    section=REPLIES,
    expected="up to the first 10 of them",
)
def first_ten(run: ServerRun, count: int) -> None:
    content = bytes(at % 256 for at in range(count))
    peer = run.connect()
    peer.send(message(content, "image/x-unknown", "binary"))
    peer.content(b"First 10 bytes of request: " + content[:10], CUSTOM)


@case(
    "EN13",
    "🐶 cut inside its four bytes",
    mechanism="cut inside a character",
    section=MESSAGE,
    expected="the right reply",
)
def cut_inside_a_character(run: ServerRun) -> None:
    request = search("\N{DOG FACE}")
    at = request.index("\N{DOG FACE}".encode())
    for cut in (1, 2, 3):
        peer = run.connect()
        peer.segments((request[: at + cut], request[at + cut :]), pause=0.1)
        peer.result(DOG)
        peer.fin()


@each(
    {"EN14": ("morpheus", MORPHEUS), "EN14.2": ("ring", RING), "EN14.3": ("\N{DOG FACE}", DOG)},
    "search {0}",
    mechanism="the tutorial's entries",
    section=REPLIES,
    expected="{1}",
)
def entries(run: ServerRun, value: str, answer: str) -> None:
    peer = run.connect()
    peer.send(search(value))
    peer.result(answer)
    peer.fin()


@each(
    {
        "EN14.4": ("a string", '"Ring"', "Ring"),
        "EN14.5": ("a number", "5", "5"),
        "EN14.6": ("null", "null", "None"),
        "EN14.7": ("true", "true", "True"),
        "EN14.8": ("a list", '["ring"]', "['ring']"),
        "EN14.9": ("an object", '{"a": 1.5}', "{'a': 1.5}"),
        "EN14.10": ("a quote", '"it\'s"', "it's"),
    },
    "search for {0} that is not there",
    star=True,
    mechanism="no match",
    section=REPLIES,
    expected="No match for 'V'., with V as Python's str shows it",
)
def no_match(run: ServerRun, name: str, literal: str, shown: str) -> None:
    peer = run.kept()  # the tutorial's server raises on some of them
    peer.send(message(f'{{"action": "search", "value": {literal}}}'.encode()))
    peer.result(f"No match for '{shown}'.")


@each(
    {
        "EN15": ("strings", ["", "a", "é", "\N{DOG FACE}", '"\\/\b\f\n\r\t', "\x00\x1f\x7f\u2028"]),
        "EN15.2": ("integers", [0, -1, 2**31, 2**53 + 1, -(2**63), 2**64, 10**100]),
        "EN15.3": ("floats", [0.1, -0.0, 1e308, 5e-324, 1.5, 1e22]),
        "EN15.4": ("containers", [[], {}, [[[]]], {"": {"a": [1, None, True, False]}}]),
    },
    "echo of {0}",
    star=True,
    mechanism="values come back",
    section="Replies: echo",
    expected="the same values",
)
def echoes(run: ServerRun, name: str, values: list[object]) -> None:
    peer = run.kept()
    for value in [*values, values]:
        peer.send(action("echo", value))
        answer = peer.result(value)
        if repr(answer.result) != repr(value):  # 1 is 1.0 and -0.0 is 0.0 for ==
            raise Failed(f"result {value!r}", str(answer))


@case(
    "EN15.5",
    "echo of 1e400, which is beyond a float",
    star=True,
    mechanism="number beyond a float",
    section=REPLIES,
    expected="an error or the number; never Infinity; still usable",
)
def beyond_a_float(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(message(b'{"action": "echo", "value": 1e400}'))
    answer = peer.reply()
    if b"Inf" in answer.content and answer.code is None:
        raise Failed("no Infinity in JSON", repr(answer.content))
    if answer.code not in (None, "handler-failed", "bad-content"):
        raise Failed("handler-failed, bad-content or the number", str(answer))
    peer.usable()


@case(
    "EN15.6",
    "echo without a value",
    star=True,
    mechanism="value left out",
    section="Replies: echo",
    expected="null, or bad-request",
)
def echo_of_nothing(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(action("echo"))
    answer = peer.reply()
    if answer.code not in (None, "bad-request"):
        raise Failed("null, or bad-request", str(answer))
    peer.usable()


@case(
    "EN15.7",
    "a name twice in the content",
    star=True,
    mechanism="repeated name in a content",
    section=REPLIES,
    expected="an answer, still usable",
)
def repeated_name(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(message(b'{"action": "echo", "value": 1, "value": 2}'))
    answer = peer.reply()
    if answer.code not in (None, "bad-content", "bad-request"):
        raise Failed("an answer", str(answer))
    peer.usable()


@case(
    "EN16",
    "confirm, three times on each of two connections",
    star=True,
    mechanism="state per connection",
    section="Replies: confirm",
    expected="counts 1, 2, 3 on each",
)
def confirm(run: ServerRun) -> None:
    peers = [run.kept(), run.kept()]
    for count in (1, 2, 3):
        for peer in peers:
            peer.send(action("confirm", f"line {count}"))
            answer = peer.result(f"Received: line {count}")
            if answer.value.get("count") != count:
                raise Failed(f"count {count}", repr(answer.value))


@case(
    "EN17",
    "binary/echo keeps type and bytes, and takes an id",
    star=True,
    mechanism="binary echo",
    section="Replies: binary/echo",
    expected="the same bytes, type binary/echo, encoding binary, the id",
)
def binary_echo(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(message(b"\0\xff{}", "binary/echo", "whatever", id=-5))
    peer.content(b"\0\xff{}", "binary/echo", id=-5)
    peer.usable()


@case(
    "EN18",
    "white space around the content's JSON",
    mechanism="white space",
    section=MESSAGE,
    expected="the right reply",
)
def padded(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(message(b' \t\r\n{"action" :\n"search" , "value":"ring"}\n\n '))
    peer.result(RING)
    peer.fin()


@case(
    "EN19",
    "a text of 250,000 characters, of every width in UTF-8",
    star=True,
    heavy=True,
    mechanism="large text",
    section="Replies: echo",
    expected="the same text",
)
def large_text(run: ServerRun) -> None:
    text = "aé€\N{DOG FACE}" * min(62_500, run.options.max_json // 16)
    peer = run.kept()
    peer.send(action("echo", text))
    peer.result(text)
    peer.usable()


@case(
    "EN20",
    "the same request in UTF-16 and UTF-8, pipelined",
    star=True,
    mechanism="encoding is per message",
    section=MESSAGE,
    expected="the right replies, all in UTF-8",
)
def encoding_per_message(run: ServerRun) -> None:
    peer = run.kept()
    encodings = ("utf-16", "utf-8", "utf-32")
    peer.send(b"".join(search("\N{DOG FACE}", encoding, id=encoding) for encoding in encodings))
    for encoding in encodings:
        peer.result(DOG, id=encoding)


@case(
    "EN21",
    "an error to a binary request",
    star=True,
    mechanism="errors are JSON",
    section=REPLIES,
    expected="text/json, readable by the tutorial's client",
)
def errors_are_json(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(binary(b"abc", deadline_ms=0))
    answer = peer.error("deadline-exceeded")
    if answer.header["content-type"] != JSON or answer.result is ABSENT:
        raise Failed("a text/json error with a result", str(answer.header))
    peer.usable()
