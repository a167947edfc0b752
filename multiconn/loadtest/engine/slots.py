"""Who opens the connections, and replaces those that end?

N slots, each with at most one connection. `Slots` is what its `Message`s call their owner.

Rules:

* Never more than N sockets: a connection that ended is replaced once its socket is closed. At
  once if it ended after a whole reply (a one-shot server is a success); after a failure later, and no faster than
  the connect rate; not at all with `--no-reconnect-on-error`.
* `resize` follows the stages of a closed run: slots are added, or those with the highest
  numbers finish what they have and close.
* Source addresses are taken in turn. The kernel is asked to choose the port when it connects, not
  when it binds: then two connections to different servers may share one.

Not here: what is sent (`engine.senders`), how fast is dialled (`engine.dialler`).
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
from ..judge.classify_error import classify_error
from .collector import Collector, Context
from .dialler import Dialler
from .senders import Sender
from .slot import Slot

__all__ = ["Slots", "bound_endpoints", "open_bound_socket"]

_OURS = {EndReason.DONE, EndReason.ABORTED, EndReason.REPLY_TIMEOUT, EndReason.BAD_FRAMING, EndReason.MISMATCH}

#: Linux' IP_BIND_ADDRESS_NO_PORT, which Python's socket module does not name.
_BIND_WITHOUT_PORT = 24


class Run(Protocol):
    """What slots tell the run."""

    def settled(self) -> None:
        """The first connection of every slot has opened or failed."""

    def ended(self) -> None:
        """A connection has ended: is the phase over?"""

    def all_closed(self) -> None:
        """After `close`: the last connection is gone."""


class Slots:
    """The N slots of a run."""

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
        self.all = [Slot(number) for number in range(config.connections)]
        self.wanted = config.connections
        self.sender: Sender | None = None
        self.greeting: Callable[[Slot], None] | None = None
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
        self.dialler: Dialler[Slot] = Dialler(shared.loop, config.connect_rate, self._dial)

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
        for slot in self.all[wanted:before]:
            if slot.message is not None:
                slot.message.close()
        while len(self.all) < wanted:
            slot = Slot(len(self.all))
            slot.settled = True
            self.all.append(slot)
        self.dialler.add(slot for slot in self.all[before:wanted] if slot.message is None)

    def stop_replacing(self) -> None:
        self._replacing = False
        self.dialler.close()

    def close(self) -> None:
        """IntervalRecorder every connection; `all_closed` follows."""
        self._closed = True
        self.stop_replacing()
        for slot in self.all:
            message = slot.message
            if message is not None and message.usable and not (message.in_flight or message.queued):
                message.close()  # nothing is owed: that is an end in good order, and a trace should say so
            elif message is not None:
                message.abort()
        self._loop.call_soon(self._tell_if_closed)

    def _tell_if_closed(self) -> None:
        if self._closed and not self.alive:
            self._run.all_closed()

    # --- the owner of messages -----------------------------------------------------------

    def _dial(self, slot: Slot) -> None:
        if slot.number >= self.wanted or slot.message is not None:
            return  # the stages went down meanwhile
        slot.dialled = self._collector.clock()
        slot.sent = slot.replies = slot.confirmed = slot.out = slot.thinking = 0
        slot.listed = False
        self.alive += 1
        index, workers = self.config.share  # numbered through all workers, or each would begin with the first source
        endpoints = self._choices[(slot.number * workers + index) % len(self._choices)]
        slot.message = Message(self._shared, self, endpoints, keep_alive=self.config.reconnect_every != 1, tag=slot)

    def opened(self, message: Message) -> None:
        """`Owner`: a connection is there."""
        slot: Slot = message.tag
        slot.open = True
        self._collector.connections.opened_one(self._collector.clock() - slot.dialled, again=slot.used)
        slot.used = True
        if not slot.settled:
            self._settle(slot)  # which may begin the load, here too
        elif slot.number >= self.wanted:
            message.close()
            return
        assert self.sender is not None
        self.sender.opened(slot)
        if self.greeting is not None:
            self.greeting(slot)

    def _settle(self, slot: Slot) -> None:
        slot.settled = True
        self._unsettled -= 1
        if not self._unsettled:
            self._run.settled()

    def response(self, message: Message, context: Context, value: object, header: Header) -> None:
        """`Owner`: a reply that was decoded."""
        slot: Slot = message.tag
        self._collector.response(slot, context, value)
        self.retire(slot)

    def retire(self, slot: Slot) -> None:
        """Close a connection that has had all the replies it is to have."""
        if slot.replies == self.config.reconnect_every and slot.message is not None and slot.out == 0:
            slot.message.close()

    def closed(self, message: Message, ending: Ending) -> None:
        """`Owner`: a connection is gone, and its socket with it."""
        slot: Slot = message.tag
        collector = self._collector
        slot.message = None
        self.alive -= 1
        if slot.open:
            slot.open = False
            collector.connections.closed_one(by_peer=ending.reason not in _OURS)
            self.deserted = self._loop.now
        assert self.sender is not None
        self.sender.lost(slot, [context for _, context in ending.unsent])
        slot.out = slot.thinking = 0
        if self._closed:
            left = [context for _, context in ending.unanswered]
            self.in_flight_at_end += sum(c[2] >= collector.measured_from for c in left)
            self._tell_if_closed()
            return
        fault = classify_error(ending, self.target)
        if fault is not None:
            collector.charge(slot, fault, ending.unanswered)
        if not slot.settled:
            self._settle(slot)
        self._run.ended()
        if self._replacing and slot.number < self.wanted and not self.sender.exhausted:
            if fault is None and slot.replies:
                self._dial(slot)
            elif fault is None or self.config.reconnect_on_error:
                self.dialler.add_later(slot)


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
