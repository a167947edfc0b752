"""Does a client skip the events that it did not ask for, and take none of them for a reply?

No client here has subscribed to anything: whatever event comes, its requests are answered by replies alone.
Not here: clients that subscribe, right replies (`client_replies`).
"""

from __future__ import annotations

import json
import selectors
import time
from collections.abc import Callable, Sequence
from typing import Any

from .case import CLIENT, Failed, Informational, case, each
from .client_target import Caller, ClientRun
from .wire import ABSENT, DOG, JSON, KEEP, MORPHEUS, RING, json_message, message, shown, take

EVENT = "The header: event"
ORDER = "One connection, many requests"
SKIPPED = "the event skipped, the reply shown"

#: What no client may show: it stands in events alone.
UNASKED = "nobody asked for this"


def event(content: object = UNASKED, name: str = "message", **more: Any) -> bytes:
    """An event with this content, which may be bytes that are no JSON."""
    if isinstance(content, bytes):
        return message(content, **{"type": JSON, "encoding": "utf-8", "event": name, **more})
    return json_message(content, event=name, **more)


def told(topic_value: object = UNASKED, seq: int = 1) -> bytes:
    """A message of a topic."""
    return event({"topic": "room/lobby", "seq": seq, "value": topic_value, "from": "ann"})


def skipped(run: ClientRun, result: str = RING) -> None:
    """It shows the result, and nothing of an event."""
    outcome = run.shows(result)
    if UNASKED in outcome.out:
        run.deviates("an event to be skipped: nobody asked for it", str(outcome))


# --- which event -----------------------------------------------------------------------------------


@each(
    {
        "CV1.1": ("a message of a topic", told()),
        "CV1.2": (
            "a gap of a topic",
            event({"topic": "room/lobby", "from": 1, "to": 4, "dropped": 4}, name="gap"),
        ),
        "CV1.3": ("a gap of unknown size", event({"topic": "t", "from": 1, "to": 0, "dropped": None}, name="gap")),
        "CV1.4": ("a name that nobody knows", event(name="weather")),
        "CV1.5": ("an empty name", event(name="")),
        "CV1.6": ("a name of 10,000 characters", event(name="n" * 10_000)),
        "CV1.7": ("control characters in its name", event(name="a\x1b[2J\nb")),
        "CV1.8": ("fields that nobody knows", event(priority="high", parts=[1, 2])),
        "CV1.9": ("a content that looks like a reply", event({"result": UNASKED})),
        "CV1.10": ("a content that looks like an error", event({"result": UNASKED, "error": {"code": "bad-request"}})),
        "CV1.11": ("a message of a topic with nothing in it", event({})),
        "CV1.12": ("a seq that is no number", event({"topic": "t", "seq": None, "value": UNASKED})),
    },
    "an event with {0}, before the reply",
    mechanism="kinds of events",
    section=EVENT,
    expected=SKIPPED,
    role=CLIENT,
)
def kind(run: ClientRun, what: str, notice: bytes) -> None:
    caller = run.asked()
    caller.send(notice + caller.answer(**KEEP))
    caller.finish()
    skipped(run)


@case(
    "CV2",
    "an event that repeats the request's id",
    mechanism="an event with an id",
    section=EVENT,
    expected="the event skipped: what says event answers nothing",
    role=CLIENT,
)
def with_its_id(run: ClientRun) -> None:
    caller = run.asked()
    id = caller.fields.get("id", ABSENT)
    caller.send(event({"result": UNASKED}, id=id) + caller.answer(**KEEP))
    caller.finish()
    skipped(run)
    if id == ABSENT:
        raise Informational("its request has no id")


@each(
    {
        "CV3.1": ("JSON that breaks off", b'{"topic": "t", "value": '),
        "CV3.2": ("no content", b""),
        "CV3.3": ("bytes that are no UTF-8", b'{"value": "\xff\xfe"}'),
        "CV3.4": ("two values", b"{} {}"),
        "CV3.5": ("NaN", b'{"topic": "t", "seq": 1, "value": NaN}'),
        "CV3.6": ("a lone surrogate", b'{"topic": "t", "seq": 1, "value": "\\ud800"}'),
        "CV3.7": ("100,000 brackets", b"[" * 100_000 + b"]" * 100_000),
        "CV3.8": ("a number of 10,000 digits", b'{"topic": "t", "seq": ' + b"9" * 10_000 + b', "value": 1}'),
        "CV3.9": ("zeros", bytes(1000)),
    },
    "an event whose content is {0}, before the reply",
    mechanism="events that can't be read",
    section=EVENT,
    expected=SKIPPED,
    role=CLIENT,
)
def unreadable(run: ClientRun, what: str, content: bytes) -> None:
    caller = run.asked()
    caller.send(event(content) + caller.answer(**KEEP))
    caller.finish()
    skipped(run)


@each(
    {
        "CV4.1": ("UTF-16, as its header says", JSON, "utf-16"),
        "CV4.2": ("an encoding that nobody knows", JSON, "no-such"),
        "CV4.3": ("a codec that makes no text", JSON, "zlib_codec"),
        "CV4.4": ("a binary type", "binary/echo", "binary"),
        "CV4.5": ("a type that nobody knows", "x/y", "utf-8"),
    },
    "an event of {0}, before the reply",
    mechanism="events of other types",
    section=EVENT,
    expected=SKIPPED,
    role=CLIENT,
)
def other_type(run: ClientRun, what: str, type: str, encoding: str) -> None:
    content = json.dumps({"result": UNASKED}).encode("utf-16" if encoding == "utf-16" else "utf-8")
    caller = run.asked()
    caller.send(event(content, type=type, encoding=encoding) + caller.answer(**KEEP))
    caller.finish()
    skipped(run)


@each(
    {
        "CV5.1": ("a megabyte of JSON", told(f"{UNASKED} " * 50_000)),
        "CV5.2": ("eight megabytes of JSON", told(f"{UNASKED} " * 400_000)),
        "CV5.3": ("eight megabytes that are no JSON", event(b"{" + b"x" * (8 << 20))),
        "CV5.4": ("eight megabytes of binary", event(b"\xff" * (8 << 20), type="binary/x", encoding="binary")),
    },
    "an event of {0}, before the reply",
    mechanism="large events",
    section=EVENT,
    expected=SKIPPED,
    role=CLIENT,
)
def large(run: ClientRun, what: str, notice: bytes) -> None:
    caller = run.asked()
    caller.send(notice + caller.answer(**KEEP))
    caller.finish()
    skipped(run)


# --- where it stands -------------------------------------------------------------------------------


@each(
    {
        "CV6.1": ("before the reply of a one-shot server", 1, 0, False),
        "CV6.2": ("behind the reply", 0, 1, True),
        "CV6.3": ("before and behind the reply", 1, 1, True),
        "CV6.4": ("1,000 before the reply", 1000, 0, True),
        "CV6.5": ("1,000 behind the reply", 0, 1000, True),
    },
    "events {0}",
    mechanism="where events stand",
    section=EVENT,
    expected="the events skipped, the reply shown",
    role=CLIENT,
)
def around(run: ClientRun, where: str, before: int, behind: int, grants: bool) -> None:
    caller = run.asked()
    granted = KEEP if grants else {}
    first = b"".join(told(seq=seq) for seq in range(1, before + 1))
    last = b"".join(told(MORPHEUS, seq) for seq in range(before + 1, before + behind + 1))
    caller.try_send(first + caller.answer(**granted) + last)  # it may have gone when it has its reply
    caller.finish()
    skipped(run)


@each(
    {
        "CV7.1": ("inside its prefix", lambda start, end, whole: 1),
        "CV7.2": ("behind its prefix", lambda start, end, whole: 2),
        "CV7.3": ("inside its header", lambda start, end, whole: start // 2),
        "CV7.4": ("between its header and its content", lambda start, end, whole: start),
        "CV7.5": ("inside its content", lambda start, end, whole: (start + end) // 2),
        "CV7.6": ("between it and the reply", lambda start, end, whole: end),
        "CV7.7": ("inside the reply's prefix", lambda start, end, whole: end + 1),
        "CV7.8": ("inside the reply's header", lambda start, end, whole: end + 20),
        "CV7.9": ("before the reply's last byte", lambda start, end, whole: whole - 1),
    },
    "an event and the reply, cut {0}, with a pause",
    mechanism="an event in pieces",
    section=EVENT,
    expected=SKIPPED,
    role=CLIENT,
)
def cut(run: ClientRun, where: str, place: Callable[[int, int, int], int]) -> None:
    caller = run.asked()
    notice = told()
    both = notice + caller.answer(**KEEP)
    at = place(2 + int.from_bytes(notice[:2], "big"), len(notice), len(both))
    caller.segments((both[:at], both[at:]), 0.15)
    caller.finish()
    skipped(run)


@case(
    "CV7.10",
    "an event and the reply, one byte per segment",
    mechanism="an event in pieces",
    section=EVENT,
    expected=SKIPPED,
    role=CLIENT,
)
def bytewise(run: ClientRun) -> None:
    caller = run.asked()
    caller.byte_by_byte(told() + caller.answer(**KEEP))
    caller.finish()
    skipped(run)


@case(
    "CV8",
    "an event a tenth of a second, for two seconds, then the reply",
    slow=True,
    mechanism="events while the reply is awaited",
    section=EVENT,
    expected=SKIPPED,
    role=CLIENT,
)
def awaited(run: ClientRun) -> None:
    caller = run.asked()
    caller.segments((told(seq=seq) for seq in range(1, 21)), 0.1)
    caller.send(caller.answer(**KEEP))
    caller.finish()
    skipped(run)


# --- events and no reply ---------------------------------------------------------------------------


@each(
    {
        "CV9.1": ("an event, then FIN", [event({"result": MORPHEUS})]),
        "CV9.2": ("ten events, then FIN", [event({"result": MORPHEUS})] * 10),
        "CV9.3": (
            "an event that breaks off behind a whole value, then FIN",
            [event(json.dumps({"result": MORPHEUS}).encode() + b" " * 10)[:-10]],
        ),
    },
    "{0}, and no reply",
    mechanism="events and no reply",
    section=EVENT,
    expected="failure soon: exit code other than 0, no result",
    role=CLIENT,
)
def no_reply(run: ClientRun, what: str, notices: Sequence[bytes]) -> None:
    caller = run.asked()
    for notice in notices:
        if caller.try_send(notice):  # it may have gone by then
            time.sleep(0.05)
    caller.finish()
    run.fails(MORPHEUS)


@case(
    "CV9.4",
    "an event, a pause, then an error reply",
    mechanism="events and no reply",
    section=EVENT,
    expected="the error, and no success",
    role=CLIENT,
)
def then_an_error(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(event({"result": MORPHEUS}))
    time.sleep(0.1)
    caller.try_send(caller.failure("handler-failed", "the action failed"))
    caller.finish()
    run.fails(MORPHEUS)


# --- among pipelined replies -------------------------------------------------------------------------

#: Requests that a client that pipelines makes.
MANY = 60
#: Seconds without another byte, after which those that have come are answered together.
GATHERED = 0.02


def before_each(replies: Sequence[bytes]) -> bytes:
    return b"".join(told() + reply for reply in replies)


def behind_each(replies: Sequence[bytes]) -> bytes:
    return b"".join(reply + told() for reply in replies)


def around_all(replies: Sequence[bytes]) -> bytes:
    return told() * 20 + b"".join(replies) + told() * 20


def posing(replies: Sequence[bytes]) -> bytes:
    """Each behind an event that has its id and its content."""
    return b"".join(_as_event(reply) + reply for reply in replies)


def _as_event(reply: bytes) -> bytes:
    taken = take(bytearray(reply))
    assert taken is not None
    fields, content = taken[1], taken[2]
    return event(content, type=fields["content-type"], id=fields.get("id", ABSENT))


def unreadable_ones(replies: Sequence[bytes]) -> bytes:
    bad = event(b"{"), event(b"\xff"), event(b"", name=""), event(b"x", type="x/y"), event(b"{}", encoding="no-such")
    return b"".join(bad[at % len(bad)] + reply for at, reply in enumerate(replies))


def large_ones(replies: Sequence[bytes]) -> bytes:
    return b"".join(told("y" * 300_000) + reply for reply in replies)


@each(
    {
        "CV10.1": ("an event before each", before_each, 0),
        "CV10.2": ("an event behind each", behind_each, 0),
        "CV10.3": ("twenty events before and behind those that leave together", around_all, 0),
        "CV10.4": ("before each an event with its id and its content", posing, 0),
        "CV10.5": ("events that can't be read between", unreadable_ones, 0),
        "CV10.6": ("large events between", large_ones, 0),
        "CV10.7": ("an event before each, in pieces of 7 bytes", before_each, 7),
        "CV10.8": ("an event behind each, in pieces of 1,000 bytes", behind_each, 1000),
        "CV10.9": ("no event", b"".join, 0),
    },
    "pipelined replies with {0}",
    mechanism="events among pipelined replies",
    section=ORDER,
    expected="each request with its own reply: exit code 0",
    role=CLIENT,
)
def among_replies(run: ClientRun, how: str, weave: Callable[[Sequence[bytes]], bytes], pieces: int) -> None:
    run.start_many(MANY)
    served, most = serve(run, weave, pieces)
    outcome = run.ends()
    if outcome.code != 0:
        raise Failed("exit code 0", str(outcome))
    if served < MANY:
        raise Failed(f"{MANY} requests", f"{served}")
    if most < 2:
        raise Informational("it never had two requests under way")


def serve(run: ClientRun, weave: Callable[[Sequence[bytes]], bytes], pieces: int) -> tuple[int, int]:
    """Answer what is asked on all its connections, until it has ended: requests, and most of them at once."""
    until = time.monotonic() + 20.0
    served = most = 0
    with selectors.DefaultSelector() as selector:
        selector.register(run.listener, selectors.EVENT_READ)
        while run.running and time.monotonic() < until:
            for key, _ in selector.select(0.05):
                if key.data is None:
                    caller = run.accept()
                    selector.register(caller.sock, selectors.EVENT_READ, caller)
                    continue
                caller = key.data
                caller.receive(time.monotonic() + 1.0)
                while caller.receive(time.monotonic() + GATHERED):
                    if caller.over:
                        break
                replies = answers(caller)
                served += len(replies)
                most = max(most, len(replies))
                if replies:
                    send(caller, weave(replies), pieces)
                if caller.over:
                    selector.unregister(caller.sock)
                    caller.close()
    return served, most


def send(caller: Caller, data: bytes, pieces: int) -> None:
    size = pieces or len(data)
    for at in range(0, len(data), size):
        caller.try_send(data[at : at + size])


def answers(caller: Caller) -> list[bytes]:
    """The right reply to each whole request that has come."""
    replies = []
    while (taken := take(caller.unread)) is not None:
        _, fields, content = taken
        grant = KEEP if fields.get("connection") == "keep-alive" else {}
        more = {"id": fields.get("id", ABSENT), **grant}
        if fields["content-type"] != JSON:
            replies.append(message(content, fields["content-type"], "binary", **more))
            continue
        asked = json.loads(content.decode(fields["content-encoding"]))
        replies.append(json_message({"result": result(asked.get("action"), asked.get("value"))}, **more))
    return replies


def result(action: object, value: object) -> object:
    if action == "echo":
        return value
    if action == "search":
        known = {"morpheus": MORPHEUS, "ring": RING, "\N{DOG FACE}": DOG}
        return known.get(str(value), f"No match for '{value}'.")
    raise Failed("echo or search", shown(action))
