"""Does a client refuse what is no reply, or none to its request?

In each of these cases the content would be the right answer if the header could be trusted: a
client that shows it has not looked.

Not here: right replies (`client_replies`), connections that end (`client_ends`).
"""

from __future__ import annotations

import json

from .case import CLIENT, case, each
from .client_target import Caller, ClientRun
from .wire import ABSENT, JSON, RING, framed, header, raw_header

WIRE = "A message"
REFUSED = "failure: exit code other than 0, and the result not taken for an answer"
CONTENT = json.dumps({"result": RING}, ensure_ascii=False).encode()


def refused(run: ClientRun, caller: Caller, reply: bytes, lenient: bool = False) -> None:
    """Send it, end well, and see it refused."""
    caller.send(reply)
    caller.finish()
    run.fails(lenient=lenient)


def id_of(caller: Caller) -> object:
    """That of its request: a reply that lacks it would be refused for that."""
    return caller.fields.get("id", ABSENT)


@each(
    {
        "CH1.1": ("byteorder", True),
        "CH1.2": ("content-type", False),
        "CH1.3": ("content-encoding", False),
        "CH1.4": ("content-length", False),
    },
    "a reply's header without {0}",
    mechanism="reply lacks a field",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def lacks(run: ClientRun, field: str, lenient: bool) -> None:
    caller = run.asked()
    fields = raw_header(len(CONTENT), id=id_of(caller))
    del fields[field]
    refused(run, caller, framed(json.dumps(fields).encode()) + CONTENT, lenient)


@each(
    {
        "CH2.1": ("content-length", '"content-length": 5, '),
        "CH2.2": ("content-type", '"content-type": "binary/x", '),
        "CH2.3": ("content-encoding", '"content-encoding": "utf-16", '),
        "CH2.4": ("byteorder", '"byteorder": "big", '),
    },
    "a reply's header with {0} twice",
    mechanism="reply repeats a field",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def repeats(run: ClientRun, field: str, first: str) -> None:
    caller = run.asked()
    text = json.dumps(raw_header(len(CONTENT), id=id_of(caller)))
    refused(run, caller, framed(("{" + first + text[1:]).encode()) + CONTENT, lenient=True)


@each(
    {
        "CH3.1": ("-5", -5, False),
        "CH3.2": ("true", True, False),
        "CH3.3": ("a string", str(len(CONTENT)), True),
        "CH3.4": ("a float", float(len(CONTENT)), True),
        "CH3.5": ("null", None, False),
        "CH3.6": ("a list", [len(CONTENT)], False),
        "CH3.7": ("NaN", float("nan"), False),
    },
    "a reply whose content-length is {0}",
    mechanism="reply's length of another kind",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def length_kind(run: ClientRun, what: str, length: object, lenient: bool) -> None:
    caller = run.asked()
    refused(run, caller, header(length, id=id_of(caller)) + CONTENT, lenient)


@each(
    {
        "CH4.1": ("4 GiB", "4294967296"),
        "CH4.2": ("10^30", "1" + "0" * 30),
        "CH4.3": ("a number of 5,000 digits", "9" * 5000),
    },
    "a reply that announces {0}, and sends a little of it",
    mechanism="reply announces too much",
    section=WIRE,
    expected=f"{REFUSED}; at once, or by its own timer",
    role=CLIENT,
)
def announces(run: ClientRun, what: str, digits: str) -> None:
    caller = run.asked()
    text = json.dumps(raw_header(1, id=id_of(caller)))
    caller.send(framed(text.replace('"content-length": 1', f'"content-length": {digits}').encode()) + CONTENT)
    run.fails(silent=True)


@each(
    {"CH5.1": ("one byte short", -1), "CH5.2": ("one byte long", 1)},
    "a reply whose content-length is {0}",
    mechanism="reply's length off by one",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def off_by_one(run: ClientRun, how: str, by: int) -> None:
    caller = run.asked()
    refused(run, caller, header(len(CONTENT) + by, id=id_of(caller)) + CONTENT)


@each(
    {
        "CH6.1": ("a list", b"[]"),
        "CH6.2": ("a number", b"0"),
        "CH6.3": ("a text", b'"x"'),
        "CH6.4": ("null", b"null"),
        "CH6.5": ("no JSON", b"content-length: 5\r\n"),
        "CH6.6": ("not UTF-8", b'{"byteorder": "\xff\xfe"}'),
        "CH6.7": ("thirty thousand brackets", b"[" * 30_000),
        "CH6.8": ("empty", b""),
    },
    "a reply whose header is {0}",
    mechanism="reply's header is no object",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def no_object(run: ClientRun, what: str, raw: bytes) -> None:
    caller = run.asked()
    refused(run, caller, framed(raw) + CONTENT)


@each(
    {
        "CH7.1": ("behind a BOM", "\ufeff", ""),
        "CH7.2": ("with bytes behind its JSON", "", "x"),
        "CH7.3": ("with a second object behind it", "", "{}"),
    },
    "a reply's header {0}",
    mechanism="reply's header and more",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def more_than_json(run: ClientRun, how: str, before: str, behind: str) -> None:
    caller = run.asked()
    text = before + json.dumps(raw_header(len(CONTENT), id=id_of(caller))) + behind
    refused(run, caller, framed(text.encode()) + CONTENT, lenient=True)


@each(
    {"CH8.1": ("a content-type that is a number", 5), "CH8.2": ("a content-type of null", None)},
    "a reply with {0}",
    mechanism="reply's type of another kind",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def type_kind(run: ClientRun, what: str, type: object) -> None:
    caller = run.asked()
    refused(run, caller, header(len(CONTENT), type, id=id_of(caller)) + CONTENT)


# --- a reply to something else ------------------------------------------------------------------


@each(
    {"CH9.1": ("a text", "somebody else's"), "CH9.2": ("an integer", 7)},
    "a reply with the id of another request: {0}",
    mechanism="foreign id",
    section=WIRE,
    expected="failure: what answers another request is no answer to this one",
    role=CLIENT,
)
def foreign_id(run: ClientRun, what: str, id: object) -> None:
    caller = run.asked()
    refused(run, caller, caller.answer(id=id), lenient="id" not in caller.fields)


@each(
    {"CH10.1": ("a list", []), "CH10.2": ("true", True), "CH10.3": ("65 characters", "x" * 65)},
    "a reply whose id is {0}",
    mechanism="id of another kind",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def id_kind(run: ClientRun, what: str, id: object) -> None:
    caller = run.asked()
    refused(run, caller, caller.answer(id=id), lenient=True)


@case(
    "CH11",
    "a reply before anything was asked",
    mechanism="unsolicited reply",
    section="Order and pipelining",
    expected="an end: what crosses the request can't be told from its answer, what comes earlier can",
    role=CLIENT,
)
def unsolicited(run: ClientRun) -> None:
    run.start()
    caller = run.accept()
    caller.send(header(len(CONTENT)) + CONTENT)
    caller.finish()
    run.ends()


# --- contents that can't be read ------------------------------------------------------------------


@each(
    {
        "CH12.1": ("in an encoding nobody knows", "klingon-8"),
        "CH12.2": ("in a codec that is not text", "zlib_codec"),
        "CH12.3": ("in an encoding that is null", None),
        "CH12.4": ("with a NUL in its encoding's name", "utf-8\0"),
    },
    "a JSON reply {0}",
    mechanism="reply's encoding unknown",
    section=WIRE,
    expected=REFUSED,
    role=CLIENT,
)
def encoding(run: ClientRun, what: str, encoding: object) -> None:
    caller = run.asked()
    refused(run, caller, header(len(CONTENT), JSON, encoding, id=id_of(caller)) + CONTENT)


@each(
    {
        "CH13.1": ("no JSON", b"In the caves"),
        "CH13.2": ("JSON cut short", CONTENT[:-1]),
        "CH13.3": ("JSON with something behind it", CONTENT + b"x"),
        "CH13.4": ("not UTF-8", b'{"result": "\xff"}'),
        "CH13.5": ("empty", b""),
        "CH13.6": ("a hundred thousand brackets", b"[" * 100_000),
        "CH13.7": ("a number of 5,000 digits", b'{"result": ' + b"9" * 5000 + b"}"),
    },
    "a JSON reply whose content is {0}",
    mechanism="reply's content unreadable",
    section="Replies",
    expected=REFUSED,
    role=CLIENT,
)
def unreadable(run: ClientRun, what: str, content: bytes) -> None:
    caller = run.asked()
    refused(run, caller, caller.message(content))


@each(
    {"CH14.1": ("a list", b'["x"]'), "CH14.2": ("null", b"null"), "CH14.3": ("an object without result", b"{}")},
    "a JSON reply that is {0}",
    mechanism="reply is no result",
    section="Replies",
    expected="an end, with whatever it makes of it",
    role=CLIENT,
)
def no_result(run: ClientRun, what: str, content: bytes) -> None:
    caller = run.asked()
    caller.send(caller.message(content))
    caller.finish()
    run.ends()


@each(
    {
        "CH15.1": ("an HTTP reply", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "CH15.2": ("a TLS alert", b"\x15\x03\x03\x00\x02\x02\x28"),
        "CH15.3": ("a text", b"Who are you?\r\n"),
    },
    "what answers is {0}, and keeps the connection",
    mechanism="reply can't become an object",
    section=WIRE,
    expected="failure at once: exit code other than 0",
    role=CLIENT,
)
def foreign(run: ClientRun, what: str, data: bytes) -> None:
    caller = run.asked()
    caller.send(data)
    run.fails()
