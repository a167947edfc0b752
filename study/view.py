"""What did each connection do, step by step, on a page?

    python -m study view TRACE [TRACE2] -o page.html

One HTML file with everything in it: the events of a client's and a server's trace on one time axis,
the bytes by frame part, the diagrams, the source lines. It loads nothing from anywhere (its own
policy forbids it), so it can be mailed, kept and opened offline.

The page is `study/page/`: its parts are put together here, in the order of `SCRIPTS`, and the data
stands beside them as JSON. What can be decided once is decided here, in Python: which connection is
which (`study.pairs`), the sentences (`study.story`), the parts of frames and which replies are
errors. What depends on where the reader stands is the page's.

Rules:

* What is in a trace came from peers: it is checked before it is used, and no byte of it can end the
  element it stands in. The page itself shows it as text only.
* A source line is read from this project's packages and nowhere else, whatever a trace says.

Not here: the page's own logic (`study/page/*.js`), the terminal's version (`study.story`).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from protocol.states import CONNECTING, FAILED, FRAMING_LOST, LIFECYCLE, MACHINES, OPEN, RECEIVE

from . import diagram
from .pairs import CLIENT, Both, addresses, in_one_order, pairs, reach, set_clock
from .parts import CONTENT, HEADER, LOST, PREFIX, PREFIX_LENGTH
from .story import INTEREST, READY, sentence
from .trace import CONNECTION, ENDED, LEVELS, MASK, PART, SYSCALL, TRANSITION, WAKE, BadTrace, Event, Trace

__all__ = ["SCRIPTS", "CannotView", "Page", "as_json", "page", "prepare", "source_line"]

NAMES = ("client", "server")

#: The page's parts, in the order in which they stand in it.
SCRIPTS = ("data", "history", "diagrams", "bytes", "endpoint", "events", "lanes", "connections", "player", "main")

#: Refusals that are no errors: the answer to a question asked in good time.
_NOT_YET = {"EAGAIN", "EWOULDBLOCK", "EINPROGRESS"}
#: Contents above this are not looked into for an error code; an error reply is short.
_LOOK_INTO = 65536
#: Characters of a header that are shown.
_HEADER_SHOWN = 400
#: Milliseconds from the reference that a time may be away: thirty years.
_FAR = 1e12
#: Seconds since 1970 in the year 5138.
_NO_DATE = 1e11


class CannotView(Exception):
    """No page can be made of these; the text says why."""


class Page(NamedTuple):
    """The page and what is on it. `connections`: how many; `paired`: of these, seen from both ends."""

    html: str
    connections: int
    paired: int
    events: int


# --- is it what it should be? -----------------------------------------------------------------------


def _count(value: object) -> bool:
    return isinstance(value, int) and value is not True and value is not False and 0 <= value < 1 << 53


def _text(value: object) -> bool:
    return isinstance(value, str)


def _text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _integer(value: object) -> bool:
    return _count(value) or (isinstance(value, int) and -(1 << 53) < value < 0)


#: What an event of each name must have, and of what kind.
_MUST: dict[str, dict[str, Callable[[Any], bool]]] = {
    CONNECTION: {"fd": _integer, "local": _text_or_none, "peer": _text_or_none},
    WAKE: {"ready": READY.__contains__},
    SYSCALL: {"call": _text, "result": lambda value: _text(value) or _integer(value)},
    PART: {
        "direction": ("in", "out").__contains__,
        "part": (PREFIX, HEADER, CONTENT).__contains__,
        "message": _count,
        "offset": _count,
        "length": _count,
    },
    TRANSITION: dict.fromkeys(("machine", "state", "input", "target", "reason", "source"), _text),
    MASK: {"before": INTEREST.__contains__, "after": INTEREST.__contains__},
    LEVELS: {},
    ENDED: {},
}
#: What it may have besides.
_MAY: dict[str, Callable[[Any], bool]] = {
    "source": _text,
    "asked": _count,
    "offset": _count,
    "direction": ("in", "out").__contains__,
    "bytes": lambda value: _text(value) and re.fullmatch("(?:[0-9a-f]{2})*", value) is not None,
    "to": _text,
    "buffered": _count,
    "queued": _count,
    "in_flight": _count,
    "waiting": _count,
    "timers": lambda value: isinstance(value, list) and all(map(_text, value)),
    "reason": _text_or_none,
}


def _check(events: list[Event]) -> None:
    """Raises `BadTrace` for an event that is not as docs/trace-format.md says."""
    for event in events:
        data = event.data
        must = _MUST.get(event.name, {})
        try:
            wrong = [name for name, good in must.items() if not good(data[name])]
            wrong += [name for name in data if name in _MAY and name not in must and not _MAY[name](data[name])]
            wrong += [] if _count(data["step"]) else ["step"]
            wrong += [] if -_FAR < event.time < _FAR else ["time"]
            if event.name == SYSCALL and data["call"] == "connect" and "to" not in data:
                wrong.append("to")
            if event.name == SYSCALL and "direction" in data and _integer(data["result"]):
                wrong += [name for name in ("result", "offset", "asked", "bytes") if name not in data]
                wrong += [] if _count(data["result"]) else ["result"]
        except (KeyError, TypeError) as error:
            wrong = [str(error.args[0]) if isinstance(error, KeyError) else "data"]
        if wrong:
            raise BadTrace(
                f"the event {event.name} of connection {event.group} at {event.time} ms has no usable {wrong[0]}"
            )


# --- the bytes -------------------------------------------------------------------------------------------


class _Stream:
    """One direction of a connection: `sender` and `receiver` are what its two ends recorded, maybe nothing."""

    def __init__(self, sender: list[Event], receiver: list[Event], machine_of: list[Event]) -> None:
        self.runs = list(_runs([*_chunks(sender, "out"), *_chunks(receiver, "in")]))
        told = max(_parts(sender, "out"), _parts(receiver, "in"), key=len)
        self.length = max([0, *(reach(e, "out") for e in sender), *(reach(e, "in") for e in receiver)])
        self.regions: list[dict[str, Any]] = [_region(part.data) for part in told]
        self._begin_the_rest(_lost_from(machine_of))
        self.where = {(region["kind"], region["message"]): index for index, region in enumerate(self.regions)}

    def _begin_the_rest(self, lost: int | None) -> None:
        """What has come of a part that is not whole, and what was given up."""
        nothing: dict[str, Any] = {"kind": CONTENT, "offset": 0, "length": 0, "message": -1}
        last = self.regions[-1] if self.regions else nothing
        begun = last["offset"] + last["length"]
        if begun < self.length:
            kind, expected = _following(last)
            message = last["message"] + (last["kind"] == CONTENT)
            rest = {"kind": kind, "message": message, "offset": begun, "length": self.length - begun}
            self.regions.append(rest | {"expected": expected})
        if lost is not None and lost < self.length:
            kept = [region for region in self.regions if region["offset"] < lost]
            message = kept[-1]["message"] if kept else 0
            if kept and kept[-1]["offset"] + kept[-1]["length"] > lost:
                kept[-1] = {"expected": kept[-1]["length"]} | kept[-1] | {"length": lost - kept[-1]["offset"]}
            rest = {"kind": LOST, "message": message, "offset": lost, "length": self.length - lost, "expected": None}
            self.regions = [*kept, rest]

    def read(self, offset: int, length: int) -> bytes | None:
        """These bytes, if all of them were kept."""
        for begin, data in self.runs:
            if begin <= offset and offset + length <= begin + len(data):
                return bytes(data[offset - begin : offset - begin + length])
        return None

    def mark_errors(self) -> None:
        """Which contents are error replies (wire.md, "Replies")?"""
        for region in self.regions:
            if region["kind"] == CONTENT and "expected" not in region and region["length"] <= _LOOK_INTO:
                code = _error_code(self.read(region["offset"], region["length"]))
                if code is not None:
                    region["error"] = code

    def packed(self) -> dict[str, Any]:
        return {
            "length": self.length,
            "regions": self.regions,
            "runs": [[begin, b64encode(data).decode()] for begin, data in self.runs],
        }


def _chunks(events: list[Event], direction: str) -> Iterator[tuple[int, bytes]]:
    for event in events:
        if reach(event, direction):
            yield event.data["offset"], bytes.fromhex(event.data["bytes"])


def _runs(chunks: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytearray]]:
    """The bytes that were kept, joined where they touch."""
    begin, run = 0, bytearray()
    for offset, data in sorted(chunks, key=lambda chunk: chunk[0]):
        end = begin + len(run)
        if offset > end:
            if run:
                yield begin, run
            begin, run = offset, bytearray(data)
        else:
            run += data[end - offset :]
    if run:
        yield begin, run


def _parts(events: list[Event], direction: str) -> list[Event]:
    return [event for event in events if event.name == PART and event.data["direction"] == direction]


def _region(data: dict[str, Any]) -> dict[str, Any]:
    region = {"kind": data["part"], "message": data["message"], "offset": data["offset"], "length": data["length"]}
    value = data.get("value")
    length = value.get("content-length") if isinstance(value, dict) else value
    if data["part"] != CONTENT and _count(length):
        region["next"] = length
    if data["part"] == HEADER:
        region["text"] = _shown(value)
    return region


def _shown(value: object) -> str:
    """A header as text: a peer may have put in it what is JSON for Python and for nobody else (NaN)."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "that is nested too deeply to be shown"
    return text if len(text) <= _HEADER_SHOWN else text[:_HEADER_SHOWN] + "…"


def _following(region: dict[str, Any]) -> tuple[str, int | None]:
    """What part comes after a whole one, and how long it will be."""
    if region["kind"] == CONTENT:
        return PREFIX, PREFIX_LENGTH
    length = region.get("next")
    if region["kind"] == PREFIX:
        return (HEADER, length) if length else (LOST, None)
    return (CONTENT, length) if length is not None else (LOST, None)


def _lost_from(receiver: list[Event]) -> int | None:
    """From which byte on has the receiver thrown away what came? None if it never did."""
    come = whole = 0
    for event in receiver:
        come = reach(event, "in") or come
        if event.name == PART and event.data["direction"] == "in":
            whole = event.data["offset"] + event.data["length"]
        if event.name == TRANSITION and event.data["machine"] == RECEIVE.name and event.data["target"] == FAILED:
            return whole if event.data["input"] == FRAMING_LOST else come
    return None


def _error_code(content: bytes | None) -> str | None:
    if content is None or b'"error"' not in content:
        return None
    try:
        code = json.loads(content)["error"]["code"]
    except (ValueError, RecursionError, TypeError, KeyError, LookupError):
        return None
    return code if isinstance(code, str) else None


# --- the source ---------------------------------------------------------------------------------------------

_ROOT = Path(__file__).resolve().parent.parent
#: Where a `source` of the form module's package / module's file may lie.
_PACKAGES = {Path(name).name: _ROOT / name for name in ("protocol", "eventloop", "libserver", "libclient", "study")}
_PACKAGES["load"] = _ROOT / "libclient" / "load"
_SOURCE = re.compile(r"([a-z_]+)/([a-z_]+\.py):([0-9]{1,6})")


def source_line(source: str, packages: dict[str, Path] = _PACKAGES) -> tuple[str, str] | None:
    """The line `package/module.py:LINE` and the function it is in; None if it is none of ours, or not to be found."""
    found = _SOURCE.fullmatch(source)
    if found is None or found[1] not in packages:
        return None
    lines = _lines(packages[found[1]] / found[2])
    number = int(found[3])
    if not 0 < number <= len(lines):
        return None
    line = lines[number - 1]
    indent = len(line) - len(line.lstrip())
    for above in reversed(lines[: number - 1]):
        inside = re.match(r"( *)def (\w+)", above)
        if inside and len(inside[1]) < indent:
            return line.strip(), inside[2]
    return line.strip(), ""


@cache
def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


# --- the data --------------------------------------------------------------------------------------------------


class _Strings:
    """Each string once: sentences and reasons come back again and again."""

    def __init__(self) -> None:
        self.all: dict[str, int] = {}

    def index(self, text: str) -> int:
        return self.all.setdefault(text, len(self.all))


def prepare(traces: list[tuple[str, Trace]]) -> dict[str, Any]:
    """What the page knows. Raises `CannotView` and `BadTrace`."""
    by_side: list[Trace | None] = [None, None]
    for name, trace in traces:
        if trace.vantage not in NAMES:
            raise CannotView(f"{name}: a trace is a client's or a server's, not a {trace.vantage}'s")
        side = NAMES.index(trace.vantage)
        if by_side[side] is not None:
            raise CannotView(f"both traces were recorded by a {trace.vantage}: give one of each side")
        try:
            _check(trace.events)
        except BadTrace as error:
            raise CannotView(f"{name}: {error}") from None
        if not 0 <= _reference(trace) < _NO_DATE:
            raise CannotView(f"{name}: its head has no usable time of day (wall_clock_s)")
        by_side[side] = trace
    client, server = by_side
    found = pairs(client.groups if client else {}, server.groups if server else {})
    if not found:
        raise CannotView(f"no connection was recorded in {' or '.join(name for name, _ in traces)}")
    shift = moved = 0.0
    if client and server:
        both = [pair for pair in found if pair.client and pair.server]
        if not both:
            raise CannotView("no connection of one trace is in the other: they are of different runs")
        shift, moved = set_clock(both, (server.reference - client.reference) * 1000)
    strings = _Strings()
    connections = [_connection(pair, shift, strings) for pair in found]
    sources = sorted({e["source"] for c in connections for e in c["events"] if "source" in e})
    return {
        "files": [[name, trace.vantage] for name, trace in traces],
        "notices": list(_notices(traces, found, moved)),
        "epoch": ((client or server).reference if client or server else 0) * 1000,  # type: ignore[union-attr]
        "machines": {machine.name: list(machine.states) for machine in MACHINES},
        "sources": {source: source_line(source) for source in sources},
        "connections": connections,
        "strings": list(strings.all),
    }


def _reference(trace: Trace) -> float:
    try:
        return trace.reference
    except (KeyError, TypeError, ValueError):
        return -1.0


def _notices(traces: list[tuple[str, Trace]], found: list[Both], moved: float) -> Iterator[str]:
    for name, trace in traces:
        if trace.truncated:
            yield f"{name} is cut off: its last record was not written whole, and is left out."
    if moved:
        yield (
            f"The two clocks disagreed: the server's was moved by {moved:+.1f} ms, so that no byte arrives before "
            "it was sent."
        )
    if len(traces) == 2:
        for side, name in enumerate(NAMES):
            alone = sum(1 for pair in found if pair[side] and not pair[1 - side])
            if alone:
                yield f"{alone} of the connections in the {name}'s trace are not in the other."


def _connection(both: Both, shift: float, strings: _Strings) -> dict[str, Any]:
    there = _Stream(both.client, both.server, both.server)
    back = _Stream(both.server, both.client, both.client)
    back.mark_errors()
    streams = (there, back)
    events: list[dict[str, Any]] = []
    calls: dict[int, dict[str, Any]] = {}  # the last call of each side: the parts after it are its own
    for side, time, event in in_one_order(both, shift):
        data = event.data
        if event.name == PART:
            stream = _stream_of(side, data["direction"])
            index = streams[stream].where.get((data["part"], data["message"]))
            if index is not None and calls.get(side, {}).get("stream") == stream:
                calls[side].setdefault("parts", []).append(index)
                code = streams[stream].regions[index].get("error")
                if code is not None:
                    calls[side] |= {"flag": "error", "error": code}
            continue
        packed = _event(side, time, event, strings)
        events.append(packed)
        if event.name == SYSCALL:
            calls[side] = packed
    return {
        "key": "-".join(events_of[0].group if events_of else "" for events_of in both),
        "ends": [_end(side, events_of) for side, events_of in enumerate(both)],
        "errors": _errors(events, back),
        "events": events,
        "streams": [stream.packed() for stream in streams],
    }


def _errors(events: list[dict[str, Any]], back: _Stream) -> int:
    """How many; an error reply counts once, though both ends saw it."""
    own = sum(1 for event in events if event.get("flag") == "error" and "error" not in event)
    return own + sum(1 for region in back.regions if "error" in region)


def _stream_of(side: int, direction: str) -> int:
    """0 is what the client sends, 1 what the server sends."""
    return side if direction == "out" else 1 - side


def _event(side: int, time: float, event: Event, strings: _Strings) -> dict[str, Any]:
    data = event.data
    packed: dict[str, Any] = {"side": side, "time": round(time, 3), "name": event.name, "step": data["step"]}
    words = sentence(event) or _ending(event)
    packed["says"] = strings.index(words.removesuffix(f" [{data.get('source')}]"))  # it stands beside it
    packed |= {name: data[name] for name in _SHOWN.get(event.name, ()) if name in data}
    if event.name == TRANSITION:
        packed["reason"] = strings.index(data["reason"])
    if "source" in data:
        packed["source"] = data["source"]
    flag = _flag(event)
    if flag:
        packed["flag"] = flag
    if "direction" in data:
        packed["stream"] = _stream_of(side, data["direction"])
    return packed


_SHOWN = {
    CONNECTION: ("fd", "local", "peer"),
    WAKE: ("ready",),
    SYSCALL: ("call", "result", "asked", "offset", "to"),
    TRANSITION: ("machine", "state", "input", "target"),
    MASK: ("before", "after"),
    LEVELS: ("buffered", "queued", "in_flight", "waiting", "timers", "reason"),
    ENDED: ("reason",),
}


def _ending(event: Event) -> str:
    if event.name == ENDED:
        return f"It has ended: {event.data.get('reason') or 'no reason was told'}."
    return f"An event this page does not know: {event.name}."


def _flag(event: Event) -> str | None:
    """`again`: the call would have had to wait; `error`: something went wrong."""
    data = event.data
    if event.name == SYSCALL and isinstance(data["result"], str):
        if data["result"] in _NOT_YET:
            return "again" if data["result"] != "EINPROGRESS" else None
        return "error"
    return "error" if event.name == TRANSITION and data["input"] == FRAMING_LOST else None


def _end(side: int, events: list[Event]) -> dict[str, Any] | None:
    """One end in a few words, for the list; and the states its machines began in."""
    if not events:
        return None
    local, peer = addresses(events)
    began = {RECEIVE.name: RECEIVE.initial[0], LIFECYCLE.name: CONNECTING if side == CLIENT else OPEN}
    state = dict(began)
    seen: set[str] = set()
    for event in events:
        if event.name == TRANSITION:
            machine = event.data["machine"]
            if machine not in seen:
                seen.add(machine)
                began[machine] = event.data["state"]
            state[machine] = event.data["target"]
    ended = next((event for event in events if event.name == ENDED), None)
    return {
        "group": events[0].group,
        "local": local,
        "peer": peer,
        "began": began,
        "state": state.get(LIFECYCLE.name),
        "ended": ended is not None,
        "reason": ended.data.get("reason") if ended is not None else None,
    }


# --- the page -------------------------------------------------------------------------------------------------------


def as_json(value: object) -> str:
    """JSON that can stand inside a `<script>`: nothing in it ends the element or begins another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def page(traces: list[tuple[str, Trace]]) -> Page:
    """The whole page. Each trace comes with its name, as the page is to call it."""
    data = prepare(traces)
    pictures = "".join(diagram.svg(machine, alone=False, size=diagram.SMALL) for machine in MACHINES)
    parts = {
        "TITLE": escape(" and ".join(name for name, _ in traces)),
        "STYLE": _part("style.css") + diagram.STYLE,
        "PICTURES": pictures,
        "DATA": as_json(data),
        "SCRIPT": "\n".join(_part(f"{name}.js") for name in SCRIPTS),
    }
    html = re.sub(r"\{\{([A-Z]+)\}\}", lambda found: parts[found[1]], _part("page.html"))
    connections = data["connections"]
    paired = sum(1 for connection in connections if None not in connection["ends"])
    return Page(html, len(connections), paired, sum(len(connection["events"]) for connection in connections))


def _part(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")
