"""Which connection of a client's trace is which of a server's, and when did each event happen on one clock?

A connection is its two addresses: one end's local address is the other end's peer. It matches a reused
pair of addresses in the order of the times. A UNIX socket has no addresses: it matches such connections
by their bytes, in the order of the times.

The clocks: each trace says the time of day at its time 0. On one machine (both ends have the same
address, or a UNIX socket) that is one clock. On two, if that puts the bytes' arrivals before their
departures as a rule, it sets the server's clock so that the way there and the way back take equally
long (NTP's assumption).

Rules:

* Within one trace the order is the trace's, always.
* Between the two, a cause stands before its effect: no bytes arrive before they leave, no EOF comes
  before the FIN, and no wake to read comes before the bytes leave. The recorder notes a call after its
  return, so the peer may have noted its effect before; then the call moves to the moment of that
  effect.

Not here: the page (`study.view`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from statistics import fmean, median
from typing import NamedTuple

from .trace import CONNECTION, SYSCALL, WAKE, Event

__all__ = ["CLIENT", "SERVER", "Both", "Clock", "addresses", "in_one_order", "match_ends", "reach", "set_clock"]

CLIENT, SERVER = 0, 1

#: Milliseconds by which receipts may seem to precede their sending.
JITTER = 1.0

Events = list[Event]


class Both(NamedTuple):
    """One connection as its two ends saw it; empty: that end was not recorded."""

    client: Events
    server: Events


class Clock(NamedTuple):
    """Milliseconds to add to the server's times. `moved`: of these, what its time of day was corrected by."""

    shift: float
    moved: float


def addresses(events: Events) -> tuple[str | None, str | None]:
    """The local address and the peer's, as far as this end knew them."""
    told = [event.data for event in events if event.name == CONNECTION]
    known = next((data for data in told if data.get("peer")), told[0] if told else {})
    peer = known.get("peer") or next((e.data["to"] for e in events if e.name == SYSCALL and "to" in e.data), None)
    return known.get("local"), peer


def _plain(address: str | None) -> str | None:
    """An IPv4 address accepted on an IPv6 socket is the same address."""
    if address is not None and address.startswith("[::ffff:") and "." in address:
        return address.removeprefix("[::ffff:").replace("]", "", 1)
    return address


def match_ends(client: dict[str, Events], server: dict[str, Events]) -> list[Both]:
    """Every connection of both, in order of the client's, then the server's own."""
    waiting: dict[tuple[str | None, str | None], list[str]] = {}
    for group, events in server.items():
        local, peer = addresses(events)
        waiting.setdefault((_plain(peer), _plain(local)), []).append(group)
    found: list[Both] = []
    left = dict(server)
    for events in client.values():
        local, peer = addresses(events)
        candidates = waiting.get((_plain(local), _plain(peer)), [])
        if local == "unix" or peer == "unix":
            candidates = waiting.get(("unix", "unix"), [])
            match = next((group for group in candidates if _same_bytes(events, server[group])), None)
        else:
            match = candidates[0] if candidates else None
        if match is not None:
            candidates.remove(match)
            del left[match]
        found.append(Both(events, server[match] if match is not None else []))
    return found + [Both([], events) for events in left.values()]


def _same_bytes(client: Events, server: Events) -> bool:
    """Did what one sent arrive at the other? Judged by the first bytes of each direction; none at all is no match."""
    seen = False
    for ours, theirs in (("out", "in"), ("in", "out")):
        one, other = _first_bytes(client, ours), _first_bytes(server, theirs)
        length = min(len(one), len(other))
        if one[:length] != other[:length]:
            return False
        seen = seen or length > 0
    return seen


def _first_bytes(events: Events, direction: str) -> str:
    return next((e.data["bytes"] for e in events if e.data.get("direction") == direction and e.data.get("bytes")), "")


# --- one clock -------------------------------------------------------------------------------


def _moved(events: Events, direction: str) -> list[tuple[int, float]]:
    """How many bytes had gone `direction` after each call, and when."""
    return [(end, event.time) for event in events if (end := reach(event, direction))]


def reach(event: Event, direction: str) -> int:
    """Where in its stream the bytes of this call end; 0 if it moved none that way."""
    data = event.data
    if event.name != SYSCALL or data.get("direction") != direction or not isinstance(data["result"], int):
        return 0
    return int(data["offset"] + data["result"]) if data["result"] else 0


def _one_machine(both: Both) -> bool:
    local, peer = addresses(both.client)
    return local is not None and peer is not None and local.rpartition(":")[0] == peer.rpartition(":")[0]


def _delays(sent: list[tuple[int, float]], received: list[tuple[int, float]]) -> Iterator[float]:
    """From each sending to the receipt of its bytes, in the times of the two traces."""
    departures = iter(sent)
    departure = next(departures, None)
    for end, arrived in received:
        while departure is not None and departure[0] < end:
            departure = next(departures, None)
        if departure is None:
            return
        yield arrived - departure[1]


def set_clock(connections: list[Both], by_time_of_day: float) -> Clock:
    """The server's clock on the client's. `by_time_of_day`: the shift as the two heads have it, in milliseconds."""
    if all(_one_machine(both) for both in connections):
        return Clock(by_time_of_day, 0.0)
    there = [d for c in connections for d in _delays(_moved(c.client, "out"), _moved(c.server, "in"))]
    back = [d for c in connections for d in _delays(_moved(c.server, "out"), _moved(c.client, "in"))]
    # The middle of the delays, for a call is noted after it returned: one of them may seem to be below 0.
    seem = []  # how long the way takes if the times of day are right
    even = []  # the shift with which it takes no time
    if there:
        seem.append(median(there) + by_time_of_day)
        even.append(-median(there))
    if back:
        seem.append(median(back) - by_time_of_day)
        even.append(median(back))
    shift = fmean(even) if seem and min(seem) < -JITTER else by_time_of_day
    return Clock(shift, shift - by_time_of_day)


# --- one order ---------------------------------------------------------------------------------


class _Side:
    """One end's events, and how far it has come: bytes in and out, FIN sent."""

    def __init__(self, events: Events, shift: float) -> None:
        self.events = events
        self.shift = shift
        self.next = 0
        self.time = -inf  # of the last one that was taken
        self.sent = 0
        self.finished = False

    @property
    def event(self) -> Event | None:
        return self.events[self.next] if self.next < len(self.events) else None

    def take(self, no_later: float) -> tuple[float, Event]:
        event = self.events[self.next]
        self.time = max(self.time, min(event.time + self.shift, no_later))
        self.next += 1
        self.sent = max(self.sent, reach(event, "out"))
        self.finished = self.finished or (event.name == SYSCALL and event.data["call"] in ("shutdown", "close"))
        return self.time, event

    def awaits(self, other: _Side) -> bool:
        """Is its next event the effect of one that `other` has yet to come to?"""
        event = self.event
        if event is None or other.event is None:
            return False
        woken = event.name == WAKE
        if woken:
            event = self._first_reading()
        if event is None:
            return False
        if reach(event, "in"):
            # What woke it had arrived: at least a byte. What it then read may have come meanwhile.
            return (event.data["offset"] + 1 if woken else reach(event, "in")) > other.sent
        is_eof = event.name == SYSCALL and event.data.get("direction") == "in" and event.data["result"] == 0
        return is_eof and not other.finished

    def _first_reading(self) -> Event | None:
        """The first reading of the turn that the next event, a wake, begins, if it was woken to read."""
        wake = self.events[self.next]
        if "r" not in wake.data["ready"]:
            return None
        for index in range(self.next + 1, len(self.events)):
            event = self.events[index]
            if event.data["step"] != wake.data["step"]:
                break
            if event.name == SYSCALL and event.data.get("direction") == "in":
                return event
        return None


def in_one_order(both: Both, shift: float) -> list[tuple[int, float, Event]]:
    """(CLIENT or SERVER, its time on the client's clock, the event) of both ends."""
    client, server = _Side(both.client, 0.0), _Side(both.server, shift)
    found: list[tuple[int, float, Event]] = []
    while client.event is not None or server.event is not None:
        first, second = (CLIENT, client), (SERVER, server)
        if _goes_first(server, client):
            first, second = second, first
        no_later = inf
        if first[1].awaits(second[1]) and not second[1].awaits(first[1]):
            assert first[1].event is not None  # it awaits something
            no_later = first[1].event.time + first[1].shift
            first = second
        time, event = first[1].take(no_later)
        found.append((first[0], time, event))
    return found


def _goes_first(one: _Side, other: _Side) -> bool:
    if one.event is None or other.event is None:
        return other.event is None
    return one.event.time + one.shift < other.event.time + other.shift
