"""How is the load put on the server?

`Runner` ties the parts together on one `EventLoop` and takes a run through its phases:

    CONNECTING  all connections are opened, so many per second. Ends when each has had its first
                outcome. If that takes longer than `SPEAK_FROM` each says one request as it opens.
    WARMUP      full load; replies are verified, and count for nothing.
    MEASURING   full load; a request belongs to the phase of its intended time.
    DRAINING    nothing is sent; replies are waited for.
    OVER        what is left is cut and counted as in flight at the end.
    PAUSED     between two visits the connections stay and the loop stands still.

All at once by `run`; or so that two runs can take turns (`engine.interleaved`) by `connect`, any number of
`visit`s (WARMUP, MEASURING, DRAINING, PAUSED) and `leave`.

Rules:

* With `requests`, exactly so many are sent while measuring, whatever becomes of them; the window
  ends with the last one's outcome. With `duration` it ends then, and the drain follows.
* `achieved` counts the replies that came within the window, whenever their requests were sent:
  replies to the warm-up's last requests stand for replies after the window's end. A window that ends with the
  last of so many requests leaves none in flight; it counts their replies alone.
* `on_connected` decides when the load begins once all are connected: several workers begin together.
* An interval is cut each second, and where a phase ends. All that watches is a `Sink`.

Not here: the connections (`engine.slots`), what leaves when (`engine.senders`), what came back (`engine.collector`).
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from selectors import BaseSelector
from typing import Any

from eventloop import Address, Endpoint, EventLoop
from libclient.owner import Shared
from protocol.states import Observer

from ..config import Config
from ..judge.thresholds import abort_reason, parse
from ..measure.accept_queue import listen_overflows
from ..measure.gauges import Gauges
from ..measure.intervals import CONNECTING, DRAINING, MEASURING, OVER, PAUSED, WARMUP
from ..measure.server_cpu_monitor import ServerCpuMonitor, is_local, usable_cores
from ..outcome import Outcome
from ..sink import Sink
from .background_peers import BackgroundPeers
from .collector import Collector
from .interval_recorder import IntervalRecorder
from .ledgers import NEVER, Ledgers
from .precise_selector import precise_selector
from .schedule import Schedule
from .senders import ClosedSender, OpenSender, Sender
from .slot import Slot
from .slots import Slots
from .source_addresses import open_bound_socket
from .ticker import Ticker
from .window import Counted, Window
from .workload import Workload

__all__ = ["Runner"]

#: Seconds without any connection after which a run that has no duration is given up.
GIVE_UP_AFTER = 5.0
#: Seconds to wait for a one-shot server's FIN, which is the next thing after its reply.
LINGER = 1.0
#: Seconds of connecting from which on a connection says something as it opens: servers close those
#: that are silent (ours after 10 s).
SPEAK_FROM = 1.0
#: Seconds after which it says something again, if the others are still connecting.
SPEAK_EVERY = 5.0
#: Seconds between two looks at how many connections the stages want.
STAGE_STEP = 0.05

clock = time.monotonic_ns


class Runner:
    """One run; `run` does it and `interrupt` (from a signal handler) ends it early.

    `began` (ns) is the run's beginning on `time.monotonic_ns`, for workers that have one together. `on_connected` is
    called once the first connection of every slot has opened or failed, and decides when the load begins (`begin`);
    without it that is at once. `server` watches the processor time of the server where that is known; `cores`: how many
    cores a generator may use (0: more are no way out). `selector`, `observer` and `tap` stand where a trace
    of its connections is written (`libclient.Shared`).
    Raises `ValueError` if a source address can't reach the target, `BadData` for a data file.
    """

    def __init__(
        self,
        config: Config,
        target: Address,
        endpoints: Sequence[Endpoint],
        sinks: Sequence[Sink] = (),
        *,
        began: int | None = None,
        on_connected: Callable[[], None] | None = None,
        server: ServerCpuMonitor | None = None,
        cores: int | None = None,
        selector: Callable[[BaseSelector | None], BaseSelector | None] = lambda inner: inner,
        observer: Callable[[], Observer | None] | None = None,
        tap: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.phase = CONNECTING
        self.loop = EventLoop(selector(precise_selector() if config.rate is not None else None))
        self._config = config
        self._target = target
        self._sinks = list(sinks)
        self._on_connected = on_connected
        self._server = server
        self._cores = usable_cores() if cores is None else cores
        self._abort_on = [parse(text) for text in config.abort_on]
        self._signal: int | None = None
        self._aborted: str | None = None
        self._stopped: str | None = None
        self._local = all(is_local(endpoint) for endpoint in endpoints)
        self._workload = Workload(config)
        self.ledgers = Ledgers(config, self._workload.actions, clock, clock() if began is None else began)
        self._schedule = self._make_schedule()
        slots = [Slot(number) for number in range(config.connections)]
        self._sender: Sender
        if self._schedule is None:
            self._sender = ClosedSender(config, self._workload, self.ledgers, slots, self.loop)
        else:
            self._sender = OpenSender(config, self._workload, self.ledgers, self.loop, self._schedule)
        collector = Collector(self.ledgers, config.verify, self._answered)
        self._shared = Shared(
            self.loop,
            timeout=config.timeout,
            connect_timeout=config.connect_timeout,
            linger=LINGER,
            open_socket=open_bound_socket,
            observer=observer,
            tap=tap,
        )
        self.slots = Slots(
            config,
            target,
            endpoints,
            self._shared,
            self.ledgers,
            slots,
            self._sender,
            collector.take,
            collector.response,
            self,
        )
        self.background_peers = BackgroundPeers(config, self.loop, self._shared, endpoints, self._workload)
        self._gauges = Gauges(self.loop)
        self._recorder = IntervalRecorder(
            self.ledgers, self.slots, self._sender, self._shared, self.background_peers, self._gauges
        )
        self._window = Window()
        self._every = config.reconnect_every
        self._greets = config.connections / config.connect_rate > SPEAK_FROM  # each connection, as it opens
        self._greeting = self.loop.timeout_queue(SPEAK_EVERY, self._speak)
        self._profile = config.load
        self._load_began = 0
        self._visit: float | None = None  # seconds to measure in this visit
        self._held: int | None = None  # when the last visit's load ended
        self._started_at = datetime.now(UTC)
        self._overflows: int | None = None  # of accept queues on this machine, before the first connection
        self._ticker = Ticker(self.loop, config.interval, self._tick)

    def _make_schedule(self) -> Schedule | None:
        config = self._config
        if config.rate is None:
            return None
        end = None if config.duration is None else config.warmup + config.duration
        return Schedule(
            config.load,
            kinds=lambda: self._workload.numbers(config.seed),
            arrival=config.arrival,
            seed=config.seed,
            end=end,
            warmup=config.warmup,
            requests=config.requests,
            share=config.share,
        )

    # --- the run -------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run to the end. Raises `AccountingError`, and what a signal handler raises."""
        try:
            self._open()
            self.loop.run()
        finally:
            self.close()
        return self._outcome()

    def _open(self) -> None:
        self._started_at = datetime.now(UTC)
        self._overflows = listen_overflows()
        self._gauges.probe()
        self.background_peers.begin()
        self.slots.begin()
        self._ticker.restart()

    def close(self) -> None:
        """Leave nothing open, whatever happened. Twice is once."""
        gc.unfreeze()
        self.slots.abort()  # there are connections only after an exception
        self.background_peers.close()
        self.loop.close()

    def _outcome(self) -> Outcome:
        ledgers, gauges, window = self.ledgers, self._gauges, self._window.total
        ledgers.close()
        measured, warmup = ledgers.measured, ledgers.warmup
        warmup.take_recent()
        scheduled = None
        if self._schedule is not None:
            scheduled = self._schedule.taken - (warmup.sent + warmup.dropped - self._sender.greeted)
        return Outcome(
            config=self._config,
            target=str(self._target),
            started_at=self._started_at,
            measured=measured,
            warmup=warmup,
            accounting=measured.balance(self.slots.in_flight_at_end, scheduled),
            connections=ledgers.connections,
            schedule_sha256=self._fingerprint(),
            schedule_of_times=b"" if self._schedule is None else self._schedule.sha256,
            duration_s=gauges.duration_s,
            window_ok=window.ok,
            window_replies=window.replies,
            interrupted=self._signal,
            aborted=self._aborted,
            stopped=self._stopped,
            bytes_sent=window.bytes_sent,
            bytes_received=window.bytes_received,
            cpu=gauges.cpu,
            run_delay=gauges.run_delay,
            loop_lag=gauges.loop_lag,
            send_delay=self._recorder.send_delay,
            local=self._local,
            cores=self._cores,
            server_cpu=None if self._server is None else self._server.cpu,
            unknown=self._workload.unknown,
            listen_overflows=self._overflowed(),
        )

    def _overflowed(self) -> int | None:
        """By how much the count rose since the run began."""
        now = listen_overflows() if self._local else None
        return now - self._overflows if now is not None and self._overflows is not None else None

    def _fingerprint(self) -> str:
        """Of the options that make the schedule, the requests, and (open) all intended times."""
        digest = hashlib.sha256(self._workload.fingerprint(*self._config.paced).encode())
        if self._schedule is not None:
            digest.update(self._schedule.sha256)
        return digest.hexdigest()

    def interrupt(self, number: int) -> None:
        """Signal `number` came: stop sending, drain, finish. Safe in a signal handler."""
        self.loop.call_soon_threadsafe(self._interrupted, number)

    def _interrupted(self, number: int) -> None:
        self._signal = number
        self._finish()

    def abort(self, why: str) -> None:
        """`--abort-on` applies: the same, from a sink."""
        if self._aborted is None:
            self._aborted = why
            self.loop.call_soon(self._finish)

    # --- phases ----------------------------------------------------------------------------

    def opened(self, slot: Slot) -> None:
        """`Slots`: a connection is there."""
        if self._greets:
            self._greet(slot)

    def _greet(self, slot: Slot) -> None:
        """The others are not there yet."""
        if self.phase is CONNECTING:
            self._sender.greet(slot)
            self._greeting.start(slot)

    def _speak(self, slot: Slot) -> None:
        if slot.open:
            self._greet(slot)

    def settled(self) -> None:
        """`Slots`: the first connection of every slot has opened or failed: the load may begin."""
        if self.phase is not CONNECTING:
            return
        if not self.ledgers.connections.open_now and not self.ledgers.connections.opened:
            self._over()
            return
        self._greets = False
        if self._on_connected is None:
            self.begin(clock())
        else:
            self._on_connected()

    def begin(self, at: int) -> None:
        """The load begins at `at` (ns)."""
        wait = (at - clock()) / 1e9
        if wait > 0:
            self.loop.call_later(wait, self._begin, at)
        else:
            self._begin(at)

    def _begin(self, at: int) -> None:
        if self.phase is not CONNECTING:
            return
        self._begin_interval()
        gc.collect()
        gc.freeze()  # what lives now lives to the end: collections need not look at it again
        config = self._config
        self._load_began = at = max(at, clock())
        if self._schedule is not None:
            self.ledgers.measure_from(at + int(config.warmup * 1e9))
        if config.stages and config.rate is None:
            self.loop.call_later(STAGE_STEP, self._follow_stages)
        if config.warmup:
            self.phase = WARMUP
            self.loop.call_at((at + int(config.warmup * 1e9)) / 1e9, self._measure)
        else:
            self._measure()
        self._sender.begin(at)

    def _measure(self) -> None:
        if self.phase is OVER or self.phase is DRAINING:
            return  # interrupted meanwhile
        self._begin_interval()
        self.phase = MEASURING
        config = self._config
        self._window.open(self._counted())
        self._gauges.start()
        now = clock()
        self._sender.measure(now)
        begins = now if self._schedule is None else self.ledgers.measured_from  # the schedule waits for no connection
        if self._visit is not None:
            self.loop.call_at(begins / 1e9 + self._visit, self._end_visit)
        elif config.duration is not None:
            self.loop.call_at(begins / 1e9 + config.duration, self._finish)
        self._sender.refresh()

    def _counted(self) -> Counted:
        """All so far."""
        warmup, measured = self.ledgers.warmup, self.ledgers.measured
        replies = warmup.replies + measured.replies
        return Counted(warmup.ok + measured.ok, replies, self._shared.bytes_sent, self._shared.bytes_received)

    def _follow_stages(self) -> None:
        if self.phase in (WARMUP, MEASURING):
            self.slots.resize(round(self._profile.at((clock() - self._load_began) / 1e9)))
            self.loop.call_later(STAGE_STEP, self._follow_stages)

    def _finish(self) -> None:
        """Send no more, and wait for what is in flight."""
        if self.phase is MEASURING:
            self._hold()
        elif self.phase is not DRAINING:
            self._over()
            return
        elif self._visit is None:
            return  # already on its way
        self._visit = None
        self.slots.stop_replacing()
        self.background_peers.close()
        self.loop.call_later(self._config.drain, self._over)
        self.ended()

    def _hold(self) -> None:
        """The measured window ends, or pauses: nothing is sent any more."""
        self._gauges.stop()
        measured = self.ledgers.measured
        whole = self._sender.exhausted and not measured.in_flight
        by_count = self._config.requests is not None and whole
        self._window.close(self._counted(), replies=(measured.ok, measured.replies) if by_count else None)
        self._held = clock()
        self._sender.stop(self._held)
        self._begin_interval()
        self.phase = DRAINING

    def ended(self) -> None:
        """Go on to the next phase if every measured request had its outcome and no more may be sent."""
        if not self.ledgers.measured.in_flight:
            if self.phase is DRAINING and self._visit is not None:
                self._pause_when_answered()
            elif self.phase is DRAINING:
                self._over()
            elif self.phase is MEASURING and self._sender.exhausted and self._config.requests is not None:
                self._finish()
        if self.phase is MEASURING and self.slots.hopeless:
            self._stopped = "given up: every connection has ended, and none is replaced (--no-reconnect-on-error)"
            self._finish()

    def _over(self) -> None:
        if self.phase is OVER:
            return
        self._sender.stop(clock())
        self._begin_interval()
        self.phase = OVER
        self._gauges.end()
        self.background_peers.close()
        self.slots.close()

    def all_closed(self) -> None:
        """`Slots`: the last connection is gone."""
        self.loop.stop()

    # --- visits ----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the connections, and rest. OVER afterwards if there is none."""
        self._on_connected = self.loop.stop
        self._open()
        self.loop.run()
        if self.phase is CONNECTING:
            self._pause()

    def visit(self, settle: float, seconds: float) -> None:
        """Load for `settle` seconds that don't count and `seconds` that do, wait for every reply, and rest.

        An open run's schedule goes on where it was held. OVER afterwards if the run has ended: it was
        interrupted or aborted.
        """
        self._visit = seconds
        self.loop.call_soon(self._begin_visit, settle)
        self.loop.run()

    def _begin_visit(self, settle: float) -> None:
        if self.phase is not PAUSED:
            return  # interrupted meanwhile
        self._begin_interval()
        if self._held is None:
            gc.collect()
            gc.freeze()
            now = self._load_began = clock()
        else:
            now = clock()
            self._load_began += now - self._held  # as if no time had passed
        self._gauges.probe()
        self.phase = WARMUP
        self.ledgers.measure_from(NEVER if self._schedule is None else now + int(settle * 1e9))
        self.loop.call_at(now / 1e9 + settle, self._measure)
        self._sender.begin(self._load_began)

    def _end_visit(self) -> None:
        if self.phase is MEASURING:
            self._hold()
            self.ended()

    def _pause_when_answered(self) -> None:
        """Every measured request has its outcome: rest, once those before them have theirs."""
        if not self.ledgers.warmup.in_flight:
            self._pause()
            self.loop.stop()

    def _pause(self) -> None:
        self._emit()
        self.phase = PAUSED
        self._gauges.end()
        self._ticker.stop()

    def leave(self, *, whole: bool = False, interrupted: int | None = None) -> Outcome:
        """After the last visit: close the connections; what came out of all visits together.

        `interrupted`: the signal that ended it while the other one was visited. `whole`: all visits were made. A turn
        is some milliseconds short or long, and so would the fingerprint be of an open schedule that ends with the
        last one.
        """
        if interrupted is not None:
            self._signal = interrupted
        if whole and self._schedule is not None:
            self._schedule.run_out()
        if self.phase is not OVER:
            self.loop.call_soon(self._over)
            self.loop.run()
        self.close()
        return self._outcome()

    # --- intervals -------------------------------------------------------------------------------

    def _tick(self) -> None:
        """An interval's time is over."""
        self._emit()
        if self._config.duration is None and self.ledgers.connections.open_now == 0 and self.phase is not CONNECTING:
            silent = self.loop.now - self.slots.deserted
            if silent >= GIVE_UP_AFTER:
                self._stopped = f"given up: no connection could be made for {silent:.0f} s"
                self._finish()

    def _begin_interval(self) -> None:
        """A phase ends: no interval belongs to two."""
        self._emit()
        self._ticker.restart()

    def _target_rate(self, now: int) -> float | None:
        """The rate asked for at a time; None in a closed run. A worker's is its share."""
        if self._config.rate is None:
            return None
        return self._profile.at((now - self._load_began) / 1e9) / self._config.share[1]

    def _emit(self) -> None:
        now = clock()
        interval = self._recorder.take(now, self.phase, self._target_rate(now))
        if self.phase is PAUSED:
            return  # the other run's time belongs to no interval
        if self._server is not None:
            self._server.interval(interval)
        for sink in self._sinks:
            sink.interval(interval)
        why = abort_reason(self._abort_on, interval)
        if why is not None:
            self.abort(why)

    # --- replies ---------------------------------------------------------------------------------

    def _answered(self, slot: Slot, count: int, now: int) -> None:
        """What follows `count` replies: the next request, the connection's end, or the run's."""
        self._sender.answered(slot, count, now)
        if self._every is not None:
            self.slots.retire(slot)
        if self.phase is DRAINING or self._sender.exhausted:
            self.ended()
