"""Who opens the connections, and replaces those that end?

N places, each with at most one connection. `Places` is what its `Message`s call their owner.

Rules:

* Never more than N sockets: a connection that ended is replaced once its socket is closed. At
  once if it ended after a whole reply (a one-shot server is a success); after a failure later, and no faster than
  the connect rate; not at all with `--no-reconnect-on-error`.
* `resize` follows the stages of a closed run: places are added, or those with the highest
  numbers finish what they have and close.
* Source addresses are taken in turn. The kernel is asked to choose the port when it connects, not
  when it binds: then two connections to different servers may share one.

Not here: what is sent (`engine.sender`), how fast is dialled (`engine.dialler`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from eventloop import Address, Endpoint, EventLoop
from eventloop.addresses import numeric_sockaddr
from eventloop.connector import open_socket
from libclient.message import Message
from libclient.owner import Ending, Shared
from libclient.reasons import EndReason
from protocol import Header

from ..config import Config
from ..judge.blame import blame
from .collector import Collector, Context
from .dialler import Dialler
from .place import Place
from .sender import Sender

__all__ = ["Places", "bound_endpoints", "open_bound_socket"]

_OURS = {EndReason.DONE, EndReason.ABORTED, EndReason.REPLY_TIMEOUT, EndReason.BAD_FRAMING, EndReason.MISMATCH}

#: Linux' IP_BIND_ADDRESS_NO_PORT, which Python's socket module does not name.
_BIND_WITHOUT_PORT = 24


class Run(Protocol):
    """What places tell the run."""

    def settled(self) -> None:
        """The first connection of every place has opened or failed."""

    def ended(self) -> None:
        """A connection has ended: is the phase over?"""

    def all_closed(self) -> None:
        """After `close`: the last connection is gone."""


class Places:
    """The N places of a run."""

    def __init__(
        self,
        config: Config,
        target: Address,
        endpoints: Sequence[Endpoint],
        shared: Shared,
        collector: Collector,
        run: Run,
    ) -> None:
        self.config = config
        self.target = target
        self.all = [Place(number) for number in range(config.connections)]
        self.wanted = config.connections
        self.sender: Sender | None = None
        self.greeting: Callable[[Place], None] | None = None
        self.alive = 0  # messages that have not yet said `closed`
        self.in_flight_at_end = 0
        self._choices = bound_endpoints(endpoints, config.source_ips)
        self._shared = shared
        self._collector = collector
        self._run = run
        self._loop: EventLoop = shared.loop
        self._unsettled = collector.connections.wanted = len(self.all)
        self._replacing = True
        self._closed = False
        self.deserted = shared.loop.now  # since when no connection has been open
        self.dialler: Dialler[Place] = Dialler(shared.loop, config.connect_rate, self._dial)

    @property
    def connecting(self) -> int:
        """Connections that are being made."""
        return self.alive - self._collector.connections.open_now

    @property
    def hopeless(self) -> bool:
        """No connection is there and none will be."""
        return not self._unsettled and not self.alive and not self.config.reconnect_on_error and not self.dialler.busy

    def begin(self) -> None:
        self.dialler.add(self.all)

    def resize(self, wanted: int) -> None:
        """So many connections from now on."""
        before, self.wanted = self.wanted, wanted
        connections = self._collector.connections
        connections.wanted = max(connections.wanted, before)  # which has had a moment to be there
        for place in self.all[wanted:before]:
            if place.message is not None:
                place.message.close()
        while len(self.all) < wanted:
            place = Place(len(self.all))
            place.settled = True
            self.all.append(place)
        self.dialler.add(place for place in self.all[before:wanted] if place.message is None)

    def stop_replacing(self) -> None:
        self._replacing = False
        self.dialler.close()

    def close(self) -> None:
        """Cut every connection; `all_closed` follows."""
        self._closed = True
        self.stop_replacing()
        for place in self.all:
            message = place.message
            if message is not None and message.usable and not (message.in_flight or message.queued):
                message.close()  # nothing is owed: that is an end in good order, and a trace should say so
            elif message is not None:
                message.abort()
        self._loop.call_soon(self._tell_if_closed)

    def _tell_if_closed(self) -> None:
        if self._closed and not self.alive:
            self._run.all_closed()

    # --- the owner of messages -----------------------------------------------------------

    def _dial(self, place: Place) -> None:
        if place.number >= self.wanted or place.message is not None:
            return  # the stages went down meanwhile
        place.dialled = self._collector.clock()
        place.sent = place.replies = place.confirmed = place.out = place.thinking = 0
        place.listed = False
        self.alive += 1
        index, workers = self.config.share  # numbered through all workers, or each would begin with the first source
        endpoints = self._choices[(place.number * workers + index) % len(self._choices)]
        place.message = Message(self._shared, self, endpoints, keep_alive=self.config.reconnect_every != 1, tag=place)

    def opened(self, message: Message) -> None:
        """`Owner`: a connection is there."""
        place: Place = message.tag
        place.open = True
        self._collector.connections.opened_one(self._collector.clock() - place.dialled, again=place.used)
        place.used = True
        if not place.settled:
            self._settle(place)  # which may begin the load, here too
        elif place.number >= self.wanted:
            message.close()
            return
        assert self.sender is not None
        self.sender.opened(place)
        if self.greeting is not None:
            self.greeting(place)

    def _settle(self, place: Place) -> None:
        place.settled = True
        self._unsettled -= 1
        if not self._unsettled:
            self._run.settled()

    def response(self, message: Message, context: Context, value: object, header: Header) -> None:
        """`Owner`: a reply that was decoded."""
        place: Place = message.tag
        self._collector.response(place, context, value)
        self.retire(place)

    def retire(self, place: Place) -> None:
        """Close a connection that has had all the replies it is to have."""
        if place.replies == self.config.reconnect_every and place.message is not None and place.out == 0:
            place.message.close()

    def closed(self, message: Message, ending: Ending) -> None:
        """`Owner`: a connection is gone, and its socket with it."""
        place: Place = message.tag
        collector = self._collector
        place.message = None
        self.alive -= 1
        if place.open:
            place.open = False
            collector.connections.closed_one(by_peer=ending.reason not in _OURS)
            self.deserted = self._loop.now
        assert self.sender is not None
        self.sender.lost(place, [context for _, context in ending.unsent])
        place.out = place.thinking = 0
        if self._closed:
            left = [context for _, context in ending.unanswered]
            self.in_flight_at_end += sum(c[2] >= collector.measured_from for c in left)
            self._tell_if_closed()
            return
        fault = blame(ending, self.target)
        if fault is not None:
            collector.charge(place, fault, ending.unanswered)
        if not place.settled:
            self._settle(place)
        self._run.ended()
        if self._replacing and place.number < self.wanted and not self.sender.exhausted:
            if fault is None and place.replies:
                self._dial(place)
            elif fault is None or self.config.reconnect_on_error:
                self.dialler.add_later(place)


# --- sockets -------------------------------------------------------------------------


def bound_endpoints(endpoints: Sequence[Endpoint], sources: Sequence[str]) -> list[list[Endpoint]]:
    """The endpoints as each source address reaches them: only those of its own family."""
    if not sources:
        return [list(endpoints)]
    choices = []
    for source in sources:
        family, sockaddr = numeric_sockaddr(source)
        mine = [e._replace(source=sockaddr) for e in endpoints if e.family == family]
        if not mine:
            raise ValueError(f"--source-ip {source}: the target has no address of that family; leave it out")
        choices.append(mine)
    return choices


def open_bound_socket(endpoint: Endpoint) -> Any:
    """As `open_socket`, for a socket that is bound to an address before it connects."""
    sock = open_socket(endpoint)
    if endpoint.source is not None:
        try:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_WITHOUT_PORT, 1)
        except OSError:
            pass  # not Linux: the port is chosen when it binds
    return sock
