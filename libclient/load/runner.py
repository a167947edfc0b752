"""How is the load put on the server?

`Runner` is the only part of the load tester with I/O: it drives N `libclient.Message`s on one
`EventLoop`, hands replies to the workload to be verified and to the books to be counted. Phases,
one after the other:

    CONNECTING  all connections are opened, so many per second, and are silent: the load begins
                with everybody there. Ends when each has had its first outcome.
    WARMUP      full load; replies are verified, and count for nothing.
    MEASURING   full load; a request belongs to the phase it was sent in.
    DRAINING    nothing is sent; replies are waited for.
    OVER        what is left is cut and counted as in flight at the end.

Closed model: each connection keeps `pipeline` requests in flight, one until the server grants
keep-alive. A reply makes room for the next request, which leaves with all others that the
same read made room for.

Rules:

* Never more than N sockets: a connection that ended is replaced once its socket is closed. At
  once if it ended after a whole reply (a one-shot server is a success); after a failure later,
  and no faster than the connect rate.
* With `requests`, exactly so many are sent while measuring, whatever becomes of them; the window
  ends with the last one's outcome. With `duration` it ends then, and the drain follows.
* A time stamp is taken when a reply is handed over and when a request is; both err on the side
  of a longer latency (by what it takes to decode the replies of one read).
* Per reply: a clock reading, two tuples; no timer, no closure, no log.

Not here: framing and matching (`libclient.message`), names of errors (`load.blame`, `load.workload`).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from eventloop import Address, Endpoint, EventLoop, Timer
from protocol import Header, ProtocolError

from ..message import Message
from ..owner import Ending, Pair, Shared
from ..reasons import EndReason
from .blame import blame
from .config import Config
from .dialler import Dialler
from .errors import BAD_CONTENT, Incident
from .gauges import Beat, Gauges
from .histogram import Histogram
from .outcome import Outcome
from .stats import Connections, Interval, Ledger, Series
from .workload import Prepared, Workload

__all__ = ["Runner"]

CONNECTING, WARMUP, MEASURING, DRAINING, OVER = "connecting", "warm-up", "measuring", "draining", "over"

#: Seconds without any connection after which a run that has no duration is given up.
GIVE_UP_AFTER = 5.0
#: Seconds to wait for a one-shot server's FIN, which is the next thing after its reply.
LINGER = 1.0

#: Later than any time stamp: nothing is measured yet.
_NEVER = 1 << 63

_OURS = {EndReason.DONE, EndReason.ABORTED, EndReason.REPLY_TIMEOUT, EndReason.BAD_FRAMING, EndReason.MISMATCH}

clock = time.perf_counter_ns

#: A request's context: what must come back, and when it was sent (ns).
Context = tuple[Prepared, int]

OnInterval = Callable[[Interval, Histogram, str], None]


class Slot:
    """One of the N places for a connection. `dialled` (ns) and `replies` are of the connection now in it."""

    __slots__ = ("dialled", "message", "number", "open", "replies", "settled")

    def __init__(self, number: int) -> None:
        self.number = number
        self.message: Message | None = None
        self.open = False
        self.settled = False  # its first connection has opened or failed
        self.dialled = 0
        self.replies = 0


class Runner:
    """One run; `run` does it and `interrupt` (from a signal handler) ends it early.

    `on_interval(interval, latencies, phase)` is called once per interval, from the loop.
    """

    def __init__(self, config: Config, target: Address, endpoints: Sequence[Endpoint], on_interval: OnInterval) -> None:
        self.config = config
        self.target = target
        self.endpoints = list(endpoints)
        self.on_interval = on_interval
        self.workload = Workload(config.action, config.value)
        self.loop = EventLoop()
        self.shared = Shared(self.loop, timeout=config.timeout, connect_timeout=config.connect_timeout, linger=LINGER)
        self.dialler: Dialler[Slot] = Dialler(self.loop, config.connect_rate, self._dial)
        self.gauges = Gauges(self.loop)
        self.phase = CONNECTING
        self.slots = [Slot(number) for number in range(config.connections)]
        self.unsettled = len(self.slots)
        self.alive = 0  # messages that have not yet said `closed`
        self.warmup = Ledger()
        self.measured = Ledger()
        self.ledger = self.warmup  # of what is sent now
        self.measured_from = _NEVER
        self.left: int | None = None  # requests that may still be sent in this phase; None: any number
        self.connections = Connections()
        self.series = Series()
        self.in_flight_at_end = 0
        self.interrupted: int | None = None
        self.stopped: str | None = None
        self._deserted = self.loop.now  # since when no connection has been open
        self._bytes = (0, 0)  # sent and received before, then within, the window
        self._timer: Timer | None = None  # of the interval
        self._due = 0.0
        self._began = clock()
        self._beat = Beat(self._began)

    # --- the run -------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run to the end. Raises `AccountingError` if the books don't balance, and what a signal handler raises."""
        config = self.config
        started_at = datetime.now(UTC)
        try:
            self.dialler.add(self.slots)
            self._beat_on()
            self.loop.run()
        finally:
            gc.unfreeze()
            for slot in self.slots:
                if slot.message is not None:  # only after an exception
                    slot.message.abort()
            self.loop.close()
        return Outcome(
            config=config,
            target=str(self.target),
            started_at=started_at,
            measured=self.measured,
            warmup=self.warmup,
            accounting=self.measured.balance(self.in_flight_at_end),
            connections=self.connections,
            schedule_sha256=self.workload.fingerprint(
                "closed", config.connections, config.pipeline, config.requests, config.duration, config.seed
            ),
            duration_s=self.gauges.duration_s,
            interrupted=self.interrupted,
            stopped=self.stopped,
            bytes_sent=self._bytes[0],
            bytes_received=self._bytes[1],
            cpu=self.gauges.cpu,
            loop_lag=self.gauges.loop_lag,
            series=self.series,
        )

    def interrupt(self, number: int) -> None:
        """Signal `number` came: stop sending, drain, finish. Safe in a signal handler."""
        self.loop.call_soon_threadsafe(self._interrupted, number)

    def _interrupted(self, number: int) -> None:
        self.interrupted = number
        self._finish()

    # --- phases ----------------------------------------------------------------------------

    def _settle(self, slot: Slot) -> None:
        """A slot's first connection had its outcome; with the last one the load begins."""
        slot.settled = True
        self.unsettled -= 1
        if self.unsettled or self.phase is not CONNECTING:
            return
        if not self.connections.open_now:
            self._over()
            return
        self._turn_page()
        gc.collect()
        gc.freeze()  # what lives now lives to the end: collections need not look at it again
        if self.config.warmup:
            self._begin(WARMUP)
            self.loop.call_later(self.config.warmup, self._measure)
        else:
            self._measure()

    def _measure(self) -> None:
        if self.phase is OVER:
            return  # interrupted meanwhile
        self._turn_page()
        self.ledger = self.measured
        self.left = self.config.requests
        self._bytes = (self.shared.bytes_sent, self.shared.bytes_received)
        self.gauges.start()
        self.measured_from = clock()
        if self.config.duration is not None:
            self.loop.call_later(self.config.duration, self._finish)
        self._begin(MEASURING)

    def _begin(self, phase: str) -> None:
        self.phase = phase
        for slot in self.slots:
            if slot.open:
                self._top_up(slot)

    def _finish(self) -> None:
        """Send no more, and wait for what is in flight."""
        if self.phase is not MEASURING:
            if self.phase is not DRAINING:
                self._over()
            return
        self.gauges.stop()
        self.measured.close_window()
        self._turn_page()
        self.phase = DRAINING
        sent, received = self._bytes
        self._bytes = (self.shared.bytes_sent - sent, self.shared.bytes_received - received)
        self.dialler.close()
        self.loop.call_later(self.config.drain, self._over)
        self._end_if_done()

    def _end_if_done(self) -> None:
        """Go on to the next phase if every measured request had its outcome and no more may be sent."""
        measured = self.measured
        if measured.sent == measured.ok + measured.failed:
            if self.phase is DRAINING:
                self._over()
            elif self.phase is MEASURING and self.left == 0:
                self._finish()

    def _over(self) -> None:
        if self.phase is OVER:
            return
        self.phase = OVER
        self.dialler.close()
        for slot in self.slots:
            if slot.message is not None:
                slot.message.abort()
        self._stop_if_closed()

    def _stop_if_closed(self) -> None:
        if self.phase is OVER and not self.alive:
            self.loop.stop()

    # --- connections -------------------------------------------------------------------------

    def _dial(self, slot: Slot) -> None:
        slot.dialled = clock()
        slot.replies = 0
        self.alive += 1
        slot.message = Message(self.shared, self, self.endpoints, tag=slot)

    def opened(self, message: Message) -> None:
        """`Owner`: a connection is there."""
        slot: Slot = message.tag
        slot.open = True
        self.connections.opened_one(clock() - slot.dialled, again=slot.settled)
        if not slot.settled:
            self._settle(slot)  # which may begin the load, here too
        self._top_up(slot)

    def closed(self, message: Message, ending: Ending) -> None:
        """`Owner`: a connection is gone, and its socket with it."""
        slot: Slot = message.tag
        slot.message = None
        self.alive -= 1
        if slot.open:
            slot.open = False
            self.connections.closed_one(by_peer=ending.reason not in _OURS)
            self._deserted = self.loop.now
        for _, (_, sent_at) in ending.unsent:
            self._untake(sent_at)
        if self.phase is OVER:
            self.in_flight_at_end += sum(sent_at >= self.measured_from for _, (_, sent_at) in ending.unanswered)
            self._stop_if_closed()
            return
        fault = blame(ending, self.target)
        if fault is not None:
            self._charge(slot, fault, ending.unanswered)
        if not slot.settled:
            self._settle(slot)
        self._end_if_done()
        if self.phase is DRAINING or self.phase is OVER or self.left == 0:
            return
        if fault is None and slot.replies:
            self._dial(slot)
        else:
            self.dialler.add_later(slot)

    def _charge(self, slot: Slot, fault: tuple[str, str], unanswered: Sequence[Pair]) -> None:
        """Count what the end of a connection cost: the requests that were in flight, or the connection alone."""
        name, detail = fault
        now = clock()
        incident = Incident((now - self._began) / 1e9, slot.number, detail)
        if not unanswered:
            self.connections.errors.add(name, incident)
        for _, (_, sent_at) in unanswered:
            self._ledger_of(sent_at).fail(name, now - sent_at, incident)

    # --- requests and replies ------------------------------------------------------------------

    def _ledger_of(self, sent_at: int) -> Ledger:
        return self.measured if sent_at >= self.measured_from else self.warmup

    def _top_up(self, slot: Slot) -> None:
        """Send what the connection has room for now."""
        if self.phase is not MEASURING and self.phase is not WARMUP:
            return
        message = slot.message
        if message is None or not message.usable:
            return
        room = (self.config.pipeline if message.granted else 1) - message.in_flight - message.queued
        left = self.left
        if left is not None:
            room = min(room, left)
            self.left = left - max(room, 0)
        if room <= 0:
            return
        self.ledger.sent += room
        sent_at = clock()
        message.send_all([(prepared.outgoing, (prepared, sent_at)) for prepared in self.workload.take(room)])

    def _untake(self, sent_at: int) -> None:
        """A request came back that never left: as if it had not been taken."""
        ledger = self._ledger_of(sent_at)
        ledger.sent -= 1
        if self.left is not None and ledger is self.measured:
            self.left += 1

    def response(self, message: Message, context: Context, value: object, header: Header) -> None:
        """`Owner`: the reply to a request."""
        now = clock()
        slot: Slot = message.tag
        slot.replies += 1
        prepared, sent_at = context
        ledger = self.measured if sent_at >= self.measured_from else self.warmup
        wrong = isinstance(value, ProtocolError)
        fault = (BAD_CONTENT, str(value)) if wrong else prepared.check(value, slot.replies)
        if fault is None:
            ledger.answered(now - sent_at)
        else:
            incident = Incident((now - self._began) / 1e9, slot.number, fault[1])
            ledger.fail(fault[0], now - sent_at, incident, replied=True)
        left = self.left
        if (
            left != 0
            and (self.phase is MEASURING or self.phase is WARMUP)
            and message.in_flight + message.queued == self.config.pipeline - 1
            and message.granted
            and message.usable
        ):
            # _top_up in line, for the ordinary case that a reply makes room for one: without this a
            # reply at (64, 1) costs a fifth more of the generator's time, at (64, 16) a tenth.
            if left is not None:
                self.left = left - 1
            self.ledger.sent += 1
            prepared = self.workload.next()
            message.send(prepared.outgoing, (prepared, now))
            return
        self._top_up(slot)
        if self.left == 0 or self.phase is DRAINING:
            self._end_if_done()

    # --- intervals -------------------------------------------------------------------------------

    def _beat_on(self) -> None:
        """The next interval begins now."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = self.loop.clock() + self.config.interval
        self._timer = self.loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._tell()
        self._due += self.config.interval  # not from now: a late line must not delay all that follow
        self._timer = self.loop.call_at(self._due, self._tick)
        if self.config.duration is None and self.connections.open_now == 0 and self.unsettled == 0:
            silent = self.loop.now - self._deserted
            if silent >= GIVE_UP_AFTER:
                self.stopped = f"given up: no connection could be made for {silent:.0f} s"
                self._finish()

    def _tell(self, least: float = 0.0) -> None:
        """Cut the interval here, and tell of it if it was at least so many seconds."""
        interval, recent = self._beat.cut(clock(), self.ledger, self.connections.open_now)
        if self.phase is MEASURING:
            self.series.add(interval)
        if interval.end_s - interval.start_s >= least:
            self.on_interval(interval, recent, self.phase)

    def _turn_page(self) -> None:
        """A phase ends: no interval belongs to two. A line for a moment's rest would only confuse."""
        self._tell(least=self.config.interval / 2)
        self._beat_on()
