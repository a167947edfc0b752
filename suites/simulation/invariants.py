"""What must hold, whatever happens?

One small object per promise, each with a name that a failing seed prints. They look at the server from
outside: at what its sockets read and wrote, its counters, its descriptors and its queues.

Each is told of turns and ends, and says what is wrong (`evidence`). That each of them can fail is shown by a bug
that it catches (`bugs`).

Not here: how it is brought about (`world`), what topics promise (`push_invariants`).
"""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Mapping
from typing import Any

from eventloop import TimeoutQueue
from eventloop.transport import RECV_SIZE
from libserver.echo import EchoConnection
from libserver.failures import EVENT as HANDLER_FAILED
from libserver.limits import BROKEN_WITHIN, LINGER, REFUSED_LINGER, REFUSED_LINGERING, STALLED
from libserver.message import Message
from libserver.reasons import CloseReason

from .evidence import Ending, Evidence, Invariant
from .oracle import AS_ASKED, BIG
from .push_invariants import PUSH_INVARIANTS

__all__ = ["INVARIANTS"]


class AnsweredInOrder(Invariant):
    """Each answered request is answered once, rightly and in order: `Conversation` calls `world.violated`."""

    name = "answered-once-rightly-in-order"


class UnansweredHasReason(Invariant):
    """A whole request that was read is answered, or the end of its connection says why not.

    Whoever cuts a connection that owes replies is the reason, whatever went wrong with it before: a missing
    reply must be counted where somebody looks for it.
    """

    name = "unanswered-has-a-reason"

    #: What explains a missing reply. Good order does not, nor does a timeout of the input: what was whole is answered.
    EXPLAINS = frozenset(
        {CloseReason.CUT, CloseReason.SEND_TIMEOUT, CloseReason.OUTPUT_LIMIT, CloseReason.SLOW_CONSUMER}
    )

    def ended(self, world: Evidence, ending: Ending) -> None:
        talk = ending.conversation
        if talk is None:
            return
        if talk.told_of_cut and ending.reason is not CloseReason.CUT:
            world.violated(self.name, f"{talk.sock} was told that it is cut, and ended as {ending.reason.value}")
        if talk.told_slow and ending.reason not in (CloseReason.SLOW_CONSUMER, *self.EXPLAINS):
            world.violated(self.name, f"{talk.sock} was told that it is slow, and ended as {ending.reason.value}")
        if talk.owed and not talk.broken and ending.reason not in self.EXPLAINS:
            world.violated(self.name, f"{talk.sock} ended as {ending.reason.value} and owed {talk.owed} replies")


class GentleClose(Invariant):
    """Who gets last words can read them: no close of ours is a RST unless the peer had its seconds.

    Or unless the drain's time was up, or a second signal came: that cuts those who linger too, and their
    reason stays what it was, since they owe nothing.
    """

    name = "no-reply-is-lost-to-a-RST"

    #: Cut by a limit, or between messages with a request just arriving (a race that HTTP has too).
    MAY = UnansweredHasReason.EXPLAINS | {
        CloseReason.RESET,
        CloseReason.SILENT,
        CloseReason.IDLE_TIMEOUT,
        CloseReason.HEADER_TIMEOUT,
        CloseReason.OVERLOADED,
    }

    #: Ends with last words to a peer that is likely to be sending: it must be read on for a while.
    SAID = frozenset(
        {CloseReason.BAD_FRAMING, CloseReason.HEADER_TIMEOUT, CloseReason.CONTENT_TIMEOUT, CloseReason.SLOW}
    )

    def ended(self, world: Evidence, ending: Ending) -> None:
        talk = ending.conversation
        if talk is None or talk.broken:
            return
        shut = talk.sock.shut_at
        waited = talk.closed_at - shut if shut is not None else 0.0
        if shut is not None and talk.closed_at >= world.may_cut_from:
            return
        if waited >= min(LINGER, REFUSED_LINGER) or (ending.reason in self.MAY and talk.last is None):
            return
        if not talk.rude:
            if ending.reason in self.SAID and talk.last is not None:
                talk.too_late = lambda: world.violated(
                    self.name, f"{talk.sock} said {talk.last}, was closed {waited:.3f} s after its FIN, and more came"
                )
            return
        if ending.reason in UnansweredHasReason.EXPLAINS or ending.reason is CloseReason.OVERLOADED:
            return
        how = f"as {ending.reason.value}, {waited:.3f} s after its FIN"
        world.violated(self.name, f"{talk.sock} was closed with unread input {how}")


class InTimeIsHeard(Invariant):
    """Nobody is told to be late for what had come when the turn began: who is ready comes before who is late."""

    name = "in-time-is-heard"

    LATE = frozenset(
        {CloseReason.IDLE_TIMEOUT, CloseReason.HEADER_TIMEOUT, CloseReason.CONTENT_TIMEOUT, CloseReason.SLOW}
    )

    def ended(self, world: Evidence, ending: Ending) -> None:
        talk = ending.conversation
        if talk is not None and talk.unheard_at_end and ending.reason in self.LATE:
            words = f"{talk.sock} ended as {ending.reason.value}, and {talk.unheard_at_end} bytes had come in time"
            world.violated(self.name, words)


class OneReasonEach(Invariant):
    """Every connection ends once, with one reason; accepted = open + the sum over the reasons."""

    name = "one-reason-each"

    def __init__(self) -> None:
        self._ended: set[int] = set()  # by the order of beginning, not by memory address

    def turned(self, world: Evidence) -> None:
        server = world.server
        opened = len(server.connections) + len(server.refused)
        ended = sum(server.closed_by.values())
        if server.accepted != opened + ended:
            world.violated(self.name, f"{server.accepted} accepted, {opened} open, {ended} ended")

    def ended(self, world: Evidence, ending: Ending) -> None:
        number = world.number_of(ending.message)
        if number in self._ended:
            world.violated(self.name, f"connection {number} ended twice, now as {ending.reason.value}")
        self._ended.add(number)

    def over(self, world: Evidence) -> None:
        self.turned(world)
        if world.server.connections or world.server.refused:
            world.violated(self.name, "the server returned and has connections that never ended")


class NoDescriptorSurvives(Invariant):
    """A connection's descriptor goes with it; in the end nobody holds any."""

    name = "no-descriptor-survives-its-connection"

    def swept(self, world: Evidence) -> None:
        server = world.server
        held = sum(not m.transport.closed for m in server.connections) + sum(
            not m.transport.closed for m in server.refused
        )
        files = world.server_program.process.files
        own = sum(getattr(file, "rx", None) is None or file.rx.instant for file in files.values())
        if len(files) != held + own:
            world.violated(self.name, f"{len(files) - own} descriptors for {held} connections")

    def over(self, world: Evidence) -> None:
        for process in world.kernel.processes:
            if process.files:
                names = ", ".join(str(file) for file in process.files.values())
                world.violated(self.name, f"{process.name} still holds {names}")


class NoTimerSurvives(Invariant):
    """Who waits in a queue of timers is an open connection."""

    name = "no-timer-survives-its-connection"

    def __init__(self) -> None:
        self._queues: dict[str, Mapping[Any, Any]] = {}  # those of the world's server

    def swept(self, world: Evidence) -> None:
        server = world.server
        if not self._queues:
            self._queues = {name: queue.due for name, queue in vars(server).items() if isinstance(queue, TimeoutQueue)}
            self._queues["arrivals"] = server.receive_timeouts._arrivals
            self._queues["its deadlines"] = server.receive_timeouts._deadlines._slot_of
        for name, subjects in self._queues.items():
            for subject in subjects:
                if subject not in server.connections and subject not in server.refused:
                    world.violated(self.name, f"{name} holds connection {world.number_of(subject)}, which is over")

    over = swept


class BreaksAreNoticed(Invariant):
    """A connection that its peer has reset is not kept, also where nobody reads or writes."""

    name = "a-break-is-noticed"
    #: Seconds from when it is seen here, and times that the server has looked at its timers after these: in a turn
    #: that a handler holds up for longer it has not looked at all.
    WITHIN = 3 * BROKEN_WITHIN
    SWEEPS = 5

    def __init__(self) -> None:
        self._broken: dict[int, tuple[float, int]] = {}  # since when, and how often it was seen too late

    def swept(self, world: Evidence) -> None:
        now = world.clock.now
        broken = {}
        for message in world.server.connections:
            if getattr(message.transport.sock, "dead", False) and not message.transport.closed:
                number = world.number_of(message)
                since, late = self._broken.get(number, (now, 0))
                late += now - since > self.WITHIN
                broken[number] = since, late
                if late > self.SWEEPS:
                    world.violated(self.name, f"connection {number} was reset {now - since:.1f} s ago and is kept")
        self._broken = broken


class MemoryWithinLimits(Invariant):
    """What is buffered for one connection is bounded by the limits, and so is the number of them."""

    name = "memory-within-limits"

    def __init__(self) -> None:
        self._said_at_once = 0  # the most bytes that were published between two looks

    def turned(self, world: Evidence) -> None:
        chronicle, topics = world.chronicle, world.server.topics
        if chronicle is not None and topics is not None:
            self._said_at_once = max(self._said_at_once, chronicle.said)
            if not topics.unsent:
                chronicle.said = 0

    def swept(self, world: Evidence) -> None:
        server = world.server
        limits, sizes = server.limits, server.codec.limits
        if len(server.connections) > server.max_connections:
            world.violated(self.name, f"{len(server.connections)} connections where {server.max_connections} may be")
        most = limits.max_connections_per_ip
        if most and max(server._from_ip.values(), default=0) > most:
            world.violated(self.name, f"more than {most} connections from one address")
        if len(server.refused) > REFUSED_LINGERING:
            world.violated(self.name, f"{len(server.refused)} refused connections linger")
        most_in = sizes.max_header + sizes.max_content + 2 * RECV_SIZE
        for message in server.connections:
            out = message.transport.queued
            if isinstance(message, EchoConnection):
                if out > limits.write_high + RECV_SIZE:
                    world.violated(self.name, f"{out} bytes kept to be echoed")
                continue
            if limits.output_limit and out > limits.output_limit:
                world.violated(self.name, f"{out} bytes of output kept, above the hard limit")
            talk = message.transport.sock.tap
            reply = talk.largest + BIG + 400  # none is larger than its request, but `big`'s
            most_out = 2 * limits.write_high + (2 * limits.handler_threads + 2) * reply
            if talk.listening is not None and talk.listening.ever:  # a turn's messages leave in one send
                most_out += self._said_at_once
            pending = message.active
            if pending is not None:
                out += pending.replies.size
            content = message.connection._content if message.connection is not None else None
            held = max(message.buffered, len(content) if content is not None else 0)
            if held > most_in:
                world.violated(self.name, f"{held} bytes of input buffered where {most_in} may be")
            if out > most_out:
                world.violated(self.name, f"{out} bytes of output kept where {most_out} may be")


class TurnsMakeProgress(Invariant):
    """No turn without progress: no bytes moved, nothing accepted or closed, no message served, and woken all the same.

    A few such turns are in order: a timer that finds its subject gone, a connection that had its share
    of a turn and finds nothing left in the next. So there is an allowance that grows with time and with
    each turn that got somewhere; a loop that spins has used it up at once. Turns for which the kernel made
    up readiness are not counted.
    """

    name = "no-turn-without-progress"
    MOST = 60.0
    PER_SECOND = 25.0

    def __init__(self) -> None:
        self._allowance = self.MOST
        self._counted_at = 0.0
        self._served: list[tuple[int, int]] = []

    def turned(self, world: Evidence) -> None:
        now = world.clock.now
        self._allowance = min(self.MOST, self._allowance + (now - self._counted_at) * self.PER_SECOND)
        self._counted_at = now
        if world.turn_progressed or world.turn_injected or self._served_something(world):
            self._allowance += 1
            return
        self._allowance -= 1
        if self._allowance < 0:
            world.violated(self.name, f"the server's loop spins; its last turn was woken by {world.turn_woken_by}")

    def _served_something(self, world: Evidence) -> bool:
        """Was a request decoded, or a reply to one made, that has not left yet?"""
        before = self._served
        self._served = [(m.buffered, m.in_flight) for m in world.server.connections if isinstance(m, Message)]
        return self._served != before


class TurnsAreBounded(Invariant):
    """A turn has its time; what handlers hold it up beyond that are a few of them, however many wait.

    A few: one of those that were read, one of those at rest, and the one that has waited longest. What handlers take
    is all that takes long here; a system call takes two microseconds.
    """

    name = "a-turn-is-bounded"
    FEW = 3
    SLACK = 0.01

    def turned(self, world: Evidence) -> None:
        stalls = sorted(world.turn_stalls)
        lasted = world.clock.now - world.turn_began
        if lasted - sum(stalls[-self.FEW :]) > STALLED + self.SLACK:
            world.violated(self.name, f"a turn lasted {lasted:.3f} s, held up by {len(stalls)} handlers")


class NothingFailsInside(Invariant):
    """No bug of ours is met: nothing is logged as one, nothing escapes from the loop."""

    name = "nothing-fails-inside"

    def turned(self, world: Evidence) -> None:
        for record in world.log.records:
            said = record.exc_info[1] if record.exc_info else None
            handlers = getattr(record, "event", None) == HANDLER_FAILED and (said is None or str(said) == AS_ASKED)
            if record.levelno >= logging.ERROR and not handlers:
                world.violated(self.name, f"{record.getMessage()} ({type(said).__name__}: {said})")
        world.log.records.clear()

    def over(self, world: Evidence) -> None:
        self.turned(world)
        if world.escaped is not None:
            world.violated(self.name, f"{type(world.escaped).__name__} escaped: {world.escaped}")


class OthersAreServed(Invariant):
    """Once nothing goes wrong any more, a newcomer is answered, whoever else is there."""

    name = "others-are-served"

    def over(self, world: Evidence) -> None:
        if world.probe is not None and not world.probe.answered:
            world.violated(self.name, f"a newcomer was not answered within {world.probe.patience:g} s")


class DrainEnds(Invariant):
    """After SIGTERM the server returns within its drain timeout; after a second signal at once."""

    name = "the-drain-ends-in-time"

    def turned(self, world: Evidence) -> None:
        if world.must_end_by is not None and world.clock.now > world.must_end_by:
            world.violated(self.name, f"the server still runs {world.clock.now - world.must_end_by:.1f} s too late")


class DrainKeeps(Invariant):
    """SIGTERM loses nothing that can be kept: no connection that waits to be accepted, none that may still ask.

    That what has arrived is answered, and never reset, is `unanswered-has-a-reason`'s and `GentleClose`'s.
    """

    name = "a-drain-keeps-what-can-be-kept"

    def ended(self, world: Evidence, ending: Ending) -> None:
        talk = ending.conversation
        if talk is None or ending.reason is not CloseReason.SHUTDOWN or talk.last is not None:
            return
        limits = world.server.limits
        grace = min(limits.drain_grace, limits.drain_timeout or math.inf)
        assert world.sigterm_at is not None
        early = world.sigterm_at + grace - talk.closed_at
        if early > 0:
            world.violated(self.name, f"{talk.sock} was closed {early:.3f} s before the end of its grace")

    def over(self, world: Evidence) -> None:
        if world.sigterm_at is None or world.signalled_twice or not world.server.limits.drain_timeout:
            return  # it was stopped, and may have been before it came to that
        for when, waiting, said in world.kernel.left_waiting:
            if waiting and said in (0, errno.EAGAIN):  # no error of accept kept it from them
                world.violated(self.name, f"{waiting} connections waited to be accepted at {when:.3f}")


class CallersHearOnce(Invariant):
    """Each call of a client is done once, with the right answer or a named error; each connection ends once.

    The clients (`clients`) call `world.violated` themselves.
    """

    name = "callers-hear-once-and-rightly"

    def over(self, world: Evidence) -> None:
        for client in world.clients:
            client.check_over()


INVARIANTS: tuple[type[Invariant], ...] = (
    AnsweredInOrder,
    UnansweredHasReason,
    GentleClose,
    InTimeIsHeard,
    OneReasonEach,
    NoDescriptorSurvives,
    NoTimerSurvives,
    BreaksAreNoticed,
    MemoryWithinLimits,
    TurnsMakeProgress,
    TurnsAreBounded,
    NothingFailsInside,
    OthersAreServed,
    DrainEnds,
    DrainKeeps,
    CallersHearOnce,
    *PUSH_INVARIANTS,
)
