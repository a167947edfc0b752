"""What happened on a connection, in sentences?

    python -m study explain TRACE [--connection ID | --together]

A step is a paragraph: what woke it, each system call with its result, each row taken with its reason and
the line that took it (a row of DELIVERY with its subscription), and what it left behind. `--together` mixes
all connections, step by step as the loop served them.

Not here: the page with pictures (`study.view`).
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from protocol.printable import printable
from protocol.states import DELIVERY

from .push import event_in_words, events_in, what_it_did
from .trace import CONNECTION, ENDED, LEVELS, MASK, PART, SYSCALL, TRANSITION, WAKE, Event, Trace

__all__ = ["connection_line", "counted", "explain", "explain_together", "sentence", "summary", "wrapped"]

READY = {
    "r": "there is something to read",
    "w": "there is room to write",
    "rw": "there is something to read, and room to write",
}
INTEREST = {"": "nothing", "r": "reading", "w": "writing", "rw": "reading and writing"}

#: What a refusal means, for a reader who meets it the first time.
REFUSALS = {
    ("recv", "EAGAIN"): "nothing has come yet",
    ("recv_into", "EAGAIN"): "nothing has come yet",
    ("send", "EAGAIN"): "the kernel has no room: the peer reads too slowly; kept, to be sent when there is",
    ("sendmsg", "EAGAIN"): "the kernel has no room: the peer reads too slowly; kept, to be sent when there is",
    ("connect", "EINPROGRESS"): "the handshake is under way; writable will mean that it is decided",
}
ERRORS = {
    "ECONNRESET": "the peer has reset the connection: what was under way is lost",
    "EPIPE": "the peer no longer reads: it has closed",
    "ECONNREFUSED": "no server listens there",
    "ETIMEDOUT": "the peer did not answer in time",
}


def explain(trace: Trace, connection: str | None = None) -> Iterator[str]:
    """The lines. Raises `KeyError` for a connection that is not in the trace."""
    groups = trace.groups
    if connection is not None:
        groups = {connection: groups[connection]}
    for number, (group, events) in enumerate(groups.items()):
        if number:
            yield ""
        yield connection_line(trace, group, events)
        yield from _steps(events)
        yield "  " + summary(events)


def explain_together(trace: Trace) -> Iterator[str]:
    """The lines of all connections at once: each step behind its connection's number."""
    for group, events in trace.groups.items():
        yield connection_line(trace, group, events)
    steps: dict[tuple[str, int], list[Event]] = {}
    for event in trace.events:
        steps.setdefault((event.group, event.data["step"]), []).append(event)
    width = max(map(len, trace.groups), default=0)
    for (group, _), events in steps.items():
        for number, line in enumerate(_steps(events)):
            yield f"{'' if number else group:>{width}} {line}"
    for group, events in trace.groups.items():
        yield f"{group:>{width}} {summary(events)}"


def wrapped(line: str, width: int) -> str:
    """`line` for a terminal so wide: the rest goes on below, indented further."""
    begins = re.match(r" *(?:\d+ )? *(?:[\d.]+ ms)? *", line)
    indent = min(begins.end() if begins else 0, width // 2) + 2
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def connection_line(trace: Trace, group: str, events: Iterable[Event]) -> str:
    """Both addresses, as this side saw them."""
    where = next((event.data for event in events if event.name == CONNECTION and event.data.get("peer")), {})
    peer, local = where.get("peer") or "?", where.get("local") or "?"
    return f"Connection {group}, seen by the {trace.vantage} at {local}; the peer is {peer}."


def _steps(events: Iterable[Event]) -> Iterator[str]:
    step = None
    calls = []
    for event in [*events, None]:
        if event is not None and event.name == PART:
            calls.append(event)  # shown with the call that brought them
            continue
        if calls:
            yield "             " + _parts(calls)
            calls = []
        if event is None or event.name == ENDED:
            continue
        begins = event.data["step"] != step
        step = event.data["step"]
        if begins and event.name != WAKE:
            yield f"{event.time:9.1f} ms  {_unwoken(event)}"
        text = sentence(event)
        if text:
            yield (f"{event.time:9.1f} ms  " if begins and event.name == WAKE else " " * 13) + text


def _unwoken(event: Event) -> str:
    if event.name == LEVELS:
        return "It takes no step: what others publish waits for it."
    return "It begins." if event.name == CONNECTION else "A timer, a callback or its owner woke it."


def sentence(event: Event) -> str:
    """One event in words; empty for one that says nothing by itself."""
    data = event.data
    if event.name == WAKE:
        return f"The selector says: {READY[data['ready']]}."
    if event.name == SYSCALL:
        return _call(data)
    if event.name == TRANSITION:
        change = f"stays {data['state']}" if data["state"] == data["target"] else f"{data['state']} -> {data['target']}"
        whose = f"{what_it_did(data)}, " if data["machine"] == DELIVERY.name else ""
        return f"{data['machine']}: {whose}{change} on {data['input']}: {data['reason']}. [{data['source']}]"
    if event.name == MASK:
        return f"The selector watches for {INTEREST[data['after']]} (before: {INTEREST[data['before']]})."
    if event.name == LEVELS:
        return _levels(data)
    if event.name == CONNECTION:
        if data.get("peer"):
            return f"Descriptor {data['fd']} goes from {data['local']} to {data['peer']}."
        return f"It has descriptor {data['fd']}, and is not connected yet."
    return ""


def _call(data: dict[str, Any]) -> str:
    call, result = data["call"], data["result"]
    asked = data.get("asked")
    if isinstance(result, str):
        why = REFUSALS.get((call, result)) or ERRORS.get(result) or "it failed"
        return f"{call} -> {result}: {why}."
    if call in ("recv", "recv_into"):
        return f"{call} -> {_bytes(result)}." if result else f"{call} -> 0: the peer has finished sending (EOF)."
    if call in ("send", "sendmsg"):
        if result == asked:
            return f"{call} -> {_bytes(result)}, all of them."
        return f"{call} -> {result} of {asked} bytes: the kernel took what it had room for."
    if call == "connect":
        return f"connect to {data['to']} -> 0: connected at once."
    if call == "getsockopt":
        return "SO_ERROR -> 0: the handshake is done."
    if call == "shutdown":
        return "shutdown: FIN is sent, and we still read."
    return f"{call}."


def counted(number: int, word: str) -> str:
    """`1 connection`, `2 connections`, `1,234 events`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def _parts(parts: list[Event]) -> str:
    words = []
    for part in parts:
        data = part.data
        if data["part"] == "prefix":
            words.append(f"message {data['message']}: prefix (a header of {data['value']} bytes follows)")
        elif data["part"] == "header":
            words.append(f"header {_header(data['value'])}")
        else:
            event = event_in_words(data.get("value"))
            words.append(f"content of {_bytes(data['length'])}" + (f" ({event})" if event else ""))
    return "In it: " + ", ".join(words) + "."


def _header(value: Any) -> str:
    if not isinstance(value, dict):
        return "that is no JSON object"
    shown = [printable(str(value.get("content-type")))]
    shown += [f"{name} {value[name]!r}" for name in ("connection", "id", "deadline-ms", "event") if name in value]
    return f"({', '.join(shown)})"


def _levels(data: dict[str, Any]) -> str:
    timers = data.get("timers") or []
    words = [
        f"{_bytes(data.get('buffered', 0))} not taken",
        f"{data.get('queued', 0)} not sent",
        f"{data.get('in_flight', 0)} in flight",
    ]
    if data.get("waiting"):
        words.append(f"{data['waiting']} waiting to be sent")
    if data.get("subscriptions"):
        of_them = counted(data["subscriptions"], "subscription")
        words.append(f"{counted(data.get('undelivered', 0), 'message')} waiting for {of_them}")
    words.append(f"timer: {', '.join(timers)}" if timers else "no timer")
    return "Left behind: " + ", ".join(words) + "."


def summary(events: list[Event]) -> str:
    """How it ended, and what went by."""
    ended = next((event for event in events if event.name == ENDED), None)
    (came, noted), (left, told) = _whole(events, "in"), _whole(events, "out")
    life = events[-1].time - events[0].time
    words = f"{counted(came, 'message')} in{noted}, {left} out{told}, in {life:.1f} ms."
    if ended is None:
        return f"Not ended when the trace did: {words}"
    return f"Ended ({ended.data.get('reason') or 'no reason told'}): {words}"


def _whole(events: list[Event], direction: str) -> tuple[int, str]:
    """How many messages went by whole in this direction, and in words how many of them are events, if any is."""
    parts = [event for event in events if event.name == PART and event.data["direction"] == direction]
    whole = [part.data["message"] for part in parts if part.data["part"] == "content"]
    pushed = len(events_in(parts).keys() & set(whole))
    return len(whole), f" ({counted(pushed, 'event')})" if pushed else ""
