"""Which connections are open, and which replace ended ones?

N slots, each with at most one connection. `Slots` is what its `Message`s call their owner.

Rules:

* Never more than N sockets: a connection that ended is replaced once its socket is closed. At
  once if it ended after a whole reply (a one-shot server is a success); after a failure later, and no faster than
  the connect rate; not at all with `--no-reconnect-on-error`.
* `resize` follows the stages of a closed run: it adds slots, or the slots with the highest
  numbers finish their requests and close.
* Source addresses take turns.

Not here: what is sent (`engine.senders`), how fast is dialled (`engine.dialler`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from eventloop import Address, Endpoint, EventLoop
from libclient.message import Message
from libclient.owner import Ending, Shared
from libclient.reasons import EndReason
from protocol import Header

from ..config import Config
from ..judge.classify_error import classify_error
from .dialler import Dialler
from .ledgers import Ledgers
from .senders import Sender
from .slot import Slot
from .source_addresses import bound_endpoints
from .workload import Context

__all__ = ["Run", "Slots"]

_OURS = {EndReason.DONE, EndReason.ABORTED, EndReason.REPLY_TIMEOUT, EndReason.BAD_FRAMING, EndReason.MISMATCH}


class Run(Protocol):
    """What slots tell the run."""

    def settled(self) -> None:
        """The first connection of every slot has opened or failed."""

    def opened(self, slot: Slot) -> None:
        """A connection is there, and the sender knows."""

    def ended(self) -> None:
        """A connection has ended: is the phase over?"""

    def all_closed(self) -> None:
        """After `close`: the last connection is gone."""


class Slots:
    """The N slots of a run.

    `take(message, data)` is asked first what to do with bytes that came (`Message`'s `take_replies`);
    `respond(slot, context, value)` is called with each reply that was decoded.
    """

    def __init__(
        self,
        config: Config,
        target: Address,
        endpoints: Sequence[Endpoint],
        shared: Shared,
        ledgers: Ledgers,
        slots: list[Slot],
        sender: Sender,
        take: Callable[[Message, bytes], int],
        respond: Callable[[Slot, Context, object], None],
        run: Run,
    ) -> None:
        self.wanted = len(slots)
        self.in_flight_at_end = 0
        self.deserted = shared.loop.now  # since when no connection has been open
        self._config = config
        self._target = target
        self._all = slots
        self._sender = sender
        self._take = take
        self._respond = respond
        self._alive = 0  # messages that have not yet said `closed`
        self._choices = bound_endpoints(endpoints, config.source_ips)
        self._shared = shared
        self._ledgers = ledgers
        self._connections = ledgers.connections
        self._run = run
        self._loop: EventLoop = shared.loop
        self._unsettled = len(slots)
        self._replacing = True
        self._closed = False
        self._dialler: Dialler[Slot] = Dialler(shared.loop, config.connect_rate, self._dial)
        self._connections.want(len(slots))

    @property
    def connecting(self) -> int:
        """Connections that are being made."""
        return self._alive - self._connections.open_now

    @property
    def hopeless(self) -> bool:
        """No connection is there and none will be."""
        return (
            not self._unsettled and not self._alive and not self._config.reconnect_on_error and not self._dialler.busy
        )

    def begin(self) -> None:
        self._dialler.add(self._all)

    def resize(self, wanted: int) -> None:
        """So many connections from now on."""
        before, self.wanted = self.wanted, wanted
        self._connections.want(before)  # which has had a moment to be there
        for slot in self._all[wanted:before]:
            if slot.message is not None:
                slot.message.close()
        while len(self._all) < wanted:
            self._all.append(Slot(len(self._all), settled=True))
        self._dialler.add(slot for slot in self._all[before:wanted] if slot.message is None)

    def stop_replacing(self) -> None:
        self._replacing = False
        self._dialler.close()

    def close(self) -> None:
        """Cut every connection; `all_closed` follows."""
        self._closed = True
        self.stop_replacing()
        for slot in self._all:
            message = slot.message
            if message is not None and message.usable and not (message.in_flight or message.queued):
                message.close()  # nothing is owed: that is an end in good order, and a trace should say so
            elif message is not None:
                message.abort()
        self._loop.call_soon(self._say_if_closed)

    def abort(self) -> None:
        """After an exception: leave no socket open, whatever is owed."""
        for slot in self._all:
            if slot.message is not None:
                slot.message.abort()

    def _say_if_closed(self) -> None:
        if self._closed and not self._alive:
            self._run.all_closed()

    # --- the owner of messages -----------------------------------------------------------

    def _dial(self, slot: Slot) -> None:
        if slot.number >= self.wanted or slot.message is not None:
            return  # the stages went down meanwhile
        slot.dial(self._ledgers.clock())
        self._alive += 1
        index, workers = self._config.share  # numbered through all workers, or each would begin with the first source
        endpoints = self._choices[(slot.number * workers + index) % len(self._choices)]
        keep_alive = self._config.reconnect_every != 1
        slot.hold(Message(self._shared, self, endpoints, keep_alive=keep_alive, tag=slot, take_replies=self._take))

    def opened(self, message: Message) -> None:
        """`Owner`: a connection is there."""
        slot: Slot = message.tag
        self._connections.opened_one(self._ledgers.clock() - slot.dialled, again=slot.connected())
        if not slot.settled:
            self._settle(slot)  # which may begin the load, here too
        elif slot.number >= self.wanted:
            message.close()
            return
        self._sender.opened(slot)
        self._run.opened(slot)

    def _settle(self, slot: Slot) -> None:
        if slot.settle():
            self._unsettled -= 1
            if not self._unsettled:
                self._run.settled()

    def response(self, message: Message, context: Context, value: object, header: Header) -> None:
        """`Owner`: a reply that was decoded."""
        slot: Slot = message.tag
        self._respond(slot, context, value)
        self.retire(slot)

    def retire(self, slot: Slot) -> None:
        """Close a connection that has had all the replies it is to have."""
        if slot.replies == self._config.reconnect_every and slot.message is not None and slot.out == 0:
            slot.message.close()

    def closed(self, message: Message, ending: Ending) -> None:
        """`Owner`: a connection is gone, and its socket with it."""
        slot: Slot = message.tag
        ledgers = self._ledgers
        self._alive -= 1
        if slot.disconnected():
            self._connections.closed_one(by_peer=ending.reason not in _OURS)
            self.deserted = self._loop.now
        self._sender.lost(slot, [context for _, context in ending.unsent])
        unanswered = [context for _, context in ending.unanswered]
        if self._closed:
            self.in_flight_at_end += sum(context[2] >= ledgers.measured_from for context in unanswered)
            self._say_if_closed()
            return
        fault = classify_error(ending, self._target)
        if fault is not None:
            ledgers.charge(slot.number, fault, unanswered)
        self._settle(slot)
        self._run.ended()
        if self._replacing and slot.number < self.wanted and not self._sender.exhausted:
            if fault is None and slot.replies:
                self._dial(slot)
            elif fault is None or self._config.reconnect_on_error:
                self._dialler.add_later(slot)
