"""Does a client read a right reply, however it arrives and whatever else its header says?

Not here: what is no right reply (`client_headers`), how a connection ends (`client_ends`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable

from .case import CLIENT, case, each
from .client_target import Caller, ClientRun
from .wire import ABSENT, DOG, MORPHEUS, RING, framed

WIRE = "A message"
ORDER = "Order and pipelining"
REPLIES = "Replies"
SHOWN = "exit code 0, and the result shown"


def serve(caller: Caller, parts: Iterable[bytes], pause: float = 0.0) -> None:
    """Send the reply's parts, each in a segment of its own, then end well."""
    caller.segments(parts, pause)
    caller.finish()


def seams(reply: bytes) -> tuple[int, int]:
    """Where the header begins and ends."""
    return 2, 2 + int.from_bytes(reply[:2], "big")


# --- how it arrives -------------------------------------------------------------------------


@case("CR1", "a reply in one segment, then FIN", mechanism="one-shot", section=REPLIES, expected=SHOWN, role=CLIENT)
def one_segment(run: ClientRun) -> None:
    caller = run.asked("search", "morpheus")
    caller.send(caller.answer(MORPHEUS))
    caller.finish()
    run.shows(MORPHEUS)


@case("CR2", "a reply, one byte per segment", mechanism="bytewise", section=WIRE, expected=SHOWN, role=CLIENT)
def bytewise(run: ClientRun) -> None:
    caller = run.asked()
    reply = caller.answer()
    serve(caller, (reply[at : at + 1] for at in range(len(reply))), 0.001)
    run.shows(RING)


@case(
    "CR3",
    "a slow server: one byte every 20 ms",
    mechanism="slow reply",
    section=WIRE,
    expected=SHOWN,
    role=CLIENT,
    slow=True,
)
def slow(run: ClientRun) -> None:
    caller = run.asked()
    reply = caller.answer()
    serve(caller, (reply[at : at + 1] for at in range(len(reply))), 0.02)
    run.shows(RING)


@each(
    {
        "CR4.1": ("inside the prefix", lambda start, end, whole: 1),
        "CR4.2": ("behind the prefix", lambda start, end, whole: start),
        "CR4.3": ("inside the header", lambda start, end, whole: (start + end) // 2),
        "CR4.4": ("before the header's last byte", lambda start, end, whole: end - 1),
        "CR4.5": ("between header and content", lambda start, end, whole: end),
        "CR4.6": ("inside the content", lambda start, end, whole: (end + whole) // 2),
        "CR4.7": ("before the last byte", lambda start, end, whole: whole - 1),
    },
    "a reply cut {0}, a pause, the rest",
    mechanism="reply cut",
    section=WIRE,
    expected=SHOWN,
    role=CLIENT,
)
def cut(run: ClientRun, where: str, place: object) -> None:
    caller = run.asked()
    reply = caller.answer()
    at = place(*seams(reply), len(reply))  # type: ignore[operator]
    serve(caller, (reply[:at], reply[at:]), 0.2)
    run.shows(RING)


@case(
    "CR5",
    "a reply cut inside every character of more than one byte",
    mechanism="cut inside a character",
    section=WIRE,
    expected=SHOWN,
    role=CLIENT,
)
def cut_in_characters(run: ClientRun) -> None:
    caller = run.asked("search", "\N{DOG FACE}")
    reply = caller.answer(DOG)
    parts, begun = [], 0
    for at in range(1, len(reply)):
        if reply[at] & 0xC0 == 0x80:
            parts.append(reply[begun:at])
            begun = at
    serve(caller, [*parts, reply[begun:]], 0.05)
    run.shows(DOG)


@case(
    "CR6",
    "a reply of a megabyte",
    mechanism="large reply",
    section=WIRE,
    expected=SHOWN,
    role=CLIENT,
)
def large(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.answer("begins " + "x" * (1 << 20) + " ends"))
    caller.finish()
    outcome = run.shows("begins xxx")
    if "xxx ends" not in outcome.out:
        run.deviates("the whole result shown", f"{len(outcome.out)} characters")


@case(
    "CR7",
    "a reply to a request of which only the beginning was read",
    mechanism="early reply",
    section=ORDER,
    expected="the result shown: a client that sends reads as well",
    role=CLIENT,
)
def early(run: ClientRun) -> None:
    run.start("search", "y" * 100_000)
    caller = run.accept()
    caller.read_prefix()
    caller.send(caller.answer())
    time.sleep(0.1)
    caller.request("search", "y" * 100_000)
    caller.finish()
    run.shows(RING)


# --- how the connection goes on ----------------------------------------------------------------


@each(
    {
        "CR8.1": ("grants keep-alive and stays open", "keep-alive", False),
        "CR8.2": ("grants keep-alive and closes all the same", "keep-alive", True),
        "CR8.3": ("says close and closes", "close", True),
        "CR8.4": ("says close and forgets to", "close", False),
        "CR8.5": ("says nothing and forgets to close", ABSENT, False),
        "CR8.6": ("says a word nobody knows", "upgrade", True),
    },
    "a server that {0}",
    mechanism="connection field of a reply",
    section="A message",
    expected=SHOWN,
    role=CLIENT,
)
def connection(run: ClientRun, how: str, field: str, closes: bool) -> None:
    caller = run.asked()
    caller.send(caller.answer(connection=field))
    if closes:
        caller.finish()
    run.shows(RING)


@case(
    "CR9",
    "two replies to one request",
    mechanism="excess reply",
    section=ORDER,
    expected="the first is the answer; the second never is",
    role=CLIENT,
)
def two_replies(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.answer() + caller.answer(MORPHEUS))
    caller.finish()
    outcome = run.ends()
    if MORPHEUS in outcome.out:
        run.fails(MORPHEUS)
    elif outcome.code == 0:
        run.shows(RING)


@each(
    {"CR10.1": "grants keep-alive", "CR10.2": "is one-shot"},
    "garbage behind the reply of a server that {0}",
    mechanism="garbage behind a reply",
    section=ORDER,
    expected="the reply was whole: its result shown, or a failure that says why; never a hang",
    role=CLIENT,
)
def garbage_behind(run: ClientRun, how: str) -> None:
    caller = run.asked()
    caller.send(caller.answer(connection="keep-alive" if "grants" in how else ABSENT) + b"\xff" * 1000)
    caller.finish()
    if run.ends().code == 0:
        run.shows(RING)


@each(
    {"CR11.1": "before the reply", "CR11.2": "before the reply, in pieces"},
    "an event {0}",
    mechanism="event",
    section="A message",
    expected="the event skipped, the reply shown",
    role=CLIENT,
)
def event(run: ClientRun, how: str) -> None:
    caller = run.asked()
    notice = caller.message(b'{"result": "somebody joined"}', event="joined", id=ABSENT)
    granted = caller.answer(connection="keep-alive")
    if "pieces" in how:
        caller.segments((notice[:40], notice[40:] + granted[:10], granted[10:]), 0.1)
    else:
        caller.send(notice + granted)
    caller.finish()
    outcome = run.ends()
    if "joined" in outcome.out and RING not in outcome.out:
        run.deviates("an event to be skipped: nobody asked for it", str(outcome))
    else:
        run.shows(RING)


# --- what its header says -----------------------------------------------------------------------


def written(content: bytes, text: str) -> bytes:
    """A reply whose header is written by hand, with LENGTH in the place of the length; PADDED is as long as can be."""
    text = text.replace("LENGTH", str(len(content)))
    if text.endswith("PADDED"):
        text = text.removesuffix("PADDED").ljust(65535)
    return framed(text.encode()) + content


FIELDS = '"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8", "content-length": LENGTH'


@each(
    {
        "CR12.1": (
            "reordered",
            '{"content-length": LENGTH, "content-encoding": "utf-8", "byteorder": "big", "content-type": "text/json"}',
        ),
        "CR12.2": ("with white space wherever JSON lets it", " \r\n\t{" + FIELDS.replace(":", " :\n") + "\t}\n "),
        "CR12.3": ("without any white space", "{" + FIELDS.replace(" ", "") + "}"),
        "CR12.4": ("with fields nobody knows", '{"x": [1, {"y": null}], ' + FIELDS + ', "z": "\\ud83d\\udc36"}'),
        "CR12.5": ("with escapes in its names", "{" + FIELDS.replace("content-length", "content\\u002dlength") + "}"),
        "CR12.6": ("with another byte order", "{" + FIELDS.replace("little", "big") + "}"),
        "CR12.7": ("as long as a prefix can say", "{" + FIELDS + "}PADDED"),
        "CR12.8": ("with an extra field twice", '{"x": 1, "x": 2, ' + FIELDS + "}"),
    },
    "a reply's header {0}",
    mechanism="header written otherwise",
    section=WIRE,
    expected=SHOWN,
    role=CLIENT,
)
def header_written(run: ClientRun, how: str, text: str) -> None:
    caller = run.asked()
    content = json.dumps({"result": RING}).encode()
    if "id" in caller.fields:
        text = text.replace("{", f'{{"id": {json.dumps(caller.fields["id"])}, ', 1)
    caller.send(written(content, text))
    caller.finish()
    run.shows(RING)


# --- what its content says -----------------------------------------------------------------------


@each(
    {
        "CR13.1": ("a number", 424242, "424242"),
        "CR13.2": ("a text of many lines", "first\nsecond", "second"),
        "CR13.3": ("a list", ["inside"], "inside"),
        "CR13.4": ("an object", {"key": "inside"}, "inside"),
        "CR13.5": ("an empty text", "", ""),
        "CR13.6": ("null", None, ""),
        "CR13.7": ("every character that JSON escapes", 'quote " slash \\ tab', "quote"),
    },
    "a result that is {0}",
    mechanism="kinds of result",
    section=REPLIES,
    expected=SHOWN,
    role=CLIENT,
)
def result(run: ClientRun, what: str, value: object, text: str) -> None:
    caller = run.asked()
    caller.send(caller.answer(value))
    caller.finish()
    run.shows(text)


@case(
    "CR14",
    "a result with a lone surrogate",
    mechanism="lone surrogate",
    section=REPLIES,
    expected="shown somehow: it is a reply like any other, although it can't be printed as it is",
    role=CLIENT,
)
def surrogate(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.message(b'{"result": "before \\ud800 behind"}'))
    caller.finish()
    outcome = run.ends()
    if outcome.code != 0 or "before" not in outcome.out:
        run.deviates("the result shown", str(outcome))


@case(
    "CR15",
    "a reply with fields beside its result",
    mechanism="extra reply fields",
    section=REPLIES,
    expected=SHOWN,
    role=CLIENT,
)
def more_fields(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.message(json.dumps({"count": 3, "result": RING, "warning": None}).encode()))
    caller.finish()
    run.shows(RING)


@each(
    {"CR16.1": ("the tutorial's type", "binary/custom-server-binary-type"), "CR16.2": ("a type nobody knows", "x/y")},
    "a binary reply of {0}",
    mechanism="binary reply",
    section=REPLIES,
    expected="exit code 0, and the bytes shown, or said to be there",
    role=CLIENT,
)
def binary(run: ClientRun, what: str, type: str) -> None:
    caller = run.asked()
    caller.send(caller.message(b"First 10 bytes of request: abcdefghij", type, "binary"))
    caller.finish()
    run.shows("First 10 bytes")


@case(
    "CR17",
    "a binary reply that is no text in any encoding",
    mechanism="binary reply",
    section=REPLIES,
    expected="exit code 0: bytes are bytes",
    role=CLIENT,
)
def no_text(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.message(b"bytes \xff\xfe\x00\x80 bytes", "binary/custom-server-binary-type", "binary"))
    caller.finish()
    run.shows("bytes")


@case(
    "CR18",
    "a JSON reply in UTF-16, as its header says",
    mechanism="reply's encoding",
    section=REPLIES,
    expected="the text as it was meant, or a failure that says why: replies are UTF-8",
    role=CLIENT,
)
def utf_16(run: ClientRun) -> None:
    caller = run.asked()
    text = json.dumps({"result": RING}, ensure_ascii=False)
    caller.send(caller.message(text.encode("utf-16"), encoding="utf-16"))
    caller.finish()
    if run.ends().code == 0:
        run.shows(RING)


@case(
    "CR19",
    "the reply of a machine with the other byte order",
    mechanism="other byte order",
    section=WIRE,
    expected="the result shown: the prefix is big-endian whatever the sender's order is",
    role=CLIENT,
)
def other_byteorder(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.answer(byteorder="big" if sys.byteorder == "little" else "little"))
    caller.finish()
    run.shows(RING)
