"""What did each connection do, step by step, on a page?

    python -m study view TRACE [TRACE2] -o page.html

One HTML file with everything in it: the events of a client's and a server's trace on one time axis,
the bytes by frame part, the diagrams, the source lines. It loads nothing from anywhere (its own
policy forbids it), so it can be mailed, kept and opened offline.

The page is `study/page/`: this module puts its parts together, in the order of `SCRIPTS`, with the data as
JSON. It decides once, in Python, which connection is which (`study.match_ends`), the sentences
(`study.explain`), the parts of frames and which replies are errors. The page does what depends on the
reader's place.

Rules:

* A trace holds peers' bytes: `study.schema` checks it first, and no byte of it can end the element it
  stands in. The page itself shows it as text only.

Not here: the page's own logic (`study/page/*.js`), the bytes (`study.streams`), the source lines
(`study.source`), the terminal's version (`study.explain`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

from protocol.states import CONNECTING, DELIVERY, FRAMING_LOST, LIFECYCLE, MACHINES, OPEN, RECEIVE

from . import diagram
from .explain import sentence
from .match_ends import CLIENT, Both, addresses, in_one_order, match_ends, set_clock
from .schema import check
from .source import source_line
from .streams import Stream
from .trace import CONNECTION, ENDED, LEVELS, MASK, PART, SYSCALL, TRANSITION, WAKE, BadTrace, Event, Trace

__all__ = ["SCRIPTS", "CannotView", "Page", "as_json", "page", "prepare"]

NAMES = ("client", "server")

#: The page's parts, in the order in which they stand in it.
SCRIPTS = ("data", "history", "diagrams", "bytes", "endpoint", "events", "lanes", "connections", "player", "main")

#: Refusals that are no errors: the answer to a question asked in good time.
_NOT_YET = {"EAGAIN", "EWOULDBLOCK", "EINPROGRESS"}
#: Seconds since 1970 in the year 5138.
_NO_DATE = 1e11


class CannotView(Exception):
    """These traces give no page; the text says why."""


class Page(NamedTuple):
    """The page and what is on it. `connections`: how many; `paired`: of these, seen from both ends."""

    html: str
    connections: int
    paired: int
    events: int


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
            check(trace.events)
        except BadTrace as error:
            raise CannotView(f"{name}: {error}") from None
        if not 0 <= _reference(trace) < _NO_DATE:
            raise CannotView(f"{name}: its head has no usable time of day (wall_clock_s)")
        by_side[side] = trace
    client, server = by_side
    found = match_ends(client.groups if client else {}, server.groups if server else {})
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
    there = Stream(both.client, both.server, both.server)
    back = Stream(both.server, both.client, both.client)
    back.mark_errors()
    back.number_replies(len({region["message"] for region in there.regions}))
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


def _errors(events: list[dict[str, Any]], back: Stream) -> int:
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
    TRANSITION: ("machine", "state", "input", "target", "topic"),
    MASK: ("before", "after"),
    LEVELS: ("buffered", "queued", "in_flight", "waiting", "subscriptions", "undelivered", "timers", "reason"),
    ENDED: ("reason",),
}


def _ending(event: Event) -> str:
    if event.name == ENDED:
        return f"It has ended: {event.data.get('reason') or 'no reason was recorded'}."
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
    """One end in a few words, for the list; the states its machines began in; whether it delivers what is published."""
    if not events:
        return None
    local, peer = addresses(events)
    began = {RECEIVE.name: RECEIVE.initial[0], LIFECYCLE.name: CONNECTING if side == CLIENT else OPEN}
    state = dict(began)
    seen: set[str] = set()
    for event in events:
        if event.name == TRANSITION:
            machine = event.data["machine"]
            if machine == DELIVERY.name:
                continue  # a subscription's, of which there may be many: the page keeps them apart
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
        "delivers": any(event.name == TRANSITION and event.data["machine"] == DELIVERY.name for event in events),
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
