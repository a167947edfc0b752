"""Which requests are lost, and which side lost each?

Pure: from what the clients, the servers and the proxy wrote down. A request is *lost* if it was sent,
no reply came, and nothing says that it was not carried out. Two kinds:

* the kernel's: its connection was reset (or refused) and no server ever had it from `accept`. The
  three-way handshake is the kernel's alone; what stands in the accept queue when the listening
  socket is closed is reset, and the server can't know of it.
* what can be kept: every other. There must be none.

Requests behind a reply that said `close` are not lost: the word says that they were not carried out,
and they are sent again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Account", "Lost", "Route", "account"]

#: By a client's port: the ports that a proxy came from on its behalf, each with when that began, in nanoseconds.
Route = Mapping[int, Sequence[tuple[int, int]]]
#: Nanoseconds by which the proxy may seem to have begun before the client or after its end: it counts in
#: milliseconds, and its words are read when there is time.
SLACK = 100_000_000


@dataclass(frozen=True)
class Lost:
    """One request without a reply. `port` is its connection's own (None: it was never open), times in nanoseconds."""

    request: int
    port: int | None
    made: int
    ended: int
    why: str


@dataclass
class Account:
    """Of one kind of client in one setting. `twice`: answered or carried out more than once."""

    requests: int = 0
    kept_lost: list[Lost] = field(default_factory=list)
    kernel_lost: list[Lost] = field(default_factory=list)
    twice: int = 0

    @property
    def holds(self) -> bool:
        return not (self.kept_lost or self.twice)


def account(
    requests: int,
    lost: Iterable[Lost],
    answered_twice: int,
    accepted: Iterable[tuple[int, int]],
    carried: Iterable[int],
    mine: range,
    route: Route | None = None,
) -> Account:
    """The books of one kind of client. `mine` are its requests' numbers; `route` is there if a proxy is."""
    times: dict[int, list[int]] = defaultdict(list)
    for port, at in accepted:
        times[port].append(at)
    for noted in times.values():
        noted.sort()
    often = Counter(number for number in carried if number in mine)
    done = Account(requests, twice=answered_twice + sum(count > 1 for count in often.values()))
    for one in lost:
        ours = one.request in often or _was_accepted(one, times, route)
        (done.kept_lost if ours else done.kernel_lost).append(one)
    return done


def _was_accepted(one: Lost, times: Mapping[int, Sequence[int]], route: Route | None) -> bool:
    if one.port is None:
        return False
    if route is None:
        return _within(times.get(one.port, ()), one.made, one.ended)
    ways = [
        (abs(begun - one.made), port)
        for port, begun in route.get(one.port, ())
        if one.made - SLACK <= begun <= one.ended + SLACK
    ]
    if not ways:
        return True  # the proxy does not say which way it went: then it is not the kernel's for certain
    return _within(times.get(min(ways)[1], ()), one.made, one.ended)


def _within(times: Sequence[int], begin: int, end: int) -> bool:
    at = bisect_left(times, begin)
    return at < len(times) and times[at] <= end
