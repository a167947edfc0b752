"""What happens in the world of one seed?

Everything here follows from a plan, which a seed draws or a test writes: the server's limits, who comes when and
what for, what goes wrong and how often, when SIGTERM comes; and, drawn as it goes, whose turn it is whenever
several could go on.

    world = World(seed)
    world.run()
    world.violations, world.trace, world.report

A world has a beginning, in which the crowd arrives and everything may go wrong; in most seeds a healing,
after which a newcomer must be served; a SIGTERM, at its end or at any call of the server before; and an
aftermath in which the clients come to their ends.

`server.run()` is called as the command does. Its select waits in here (`_server_waits`), and the world
goes on from there.

Not here: what is planned (`plan`, `happenings`), how the server is made (`served`), what must hold (`invariants`),
what peers do (`peers`, `clients`).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from libserver.reasons import CloseReason
from protocol.states import Observer

from .chronicle import Chronicle
from .clock import SimClock
from .evidence import Ending, Invariant
from .faults import Faults
from .happenings import Terminate
from .invariants import INVARIANTS
from .kernel import Kernel
from .listening import ONCE, Listening
from .oracle import Conversation, EchoConversation
from .peers import Peer, Probe, Target
from .plan import PROBE_PATIENCE, Plan, drawn
from .process import Process
from .programs import Over, Program, Serving
from .report import Report
from .schedule import Schedule
from .selector import READ, Ready
from .served import Log, Watcher, open_server
from .sockets import SimSocket
from .trace import Trace

__all__ = ["Violation", "World"]

#: Waits of the server after which a world has gone wrong, whatever the invariants say.
MOST_TURNS = 100_000
#: Seconds that clients have after the server's end, and then to close.
AFTERMATH = 200.0
#: Seconds in which everybody, raw peers too, hears of the server's end, and what they had sent comes too late.
ECHO = 1.0

Violation = tuple[str, str]


class World:
    """The world of a plan, or of a seed's. `violations` is empty when nothing was wrong."""

    def __init__(self, plan: Plan | int, invariants: Sequence[type[Invariant]] = INVARIANTS) -> None:
        self.plan = plan if isinstance(plan, Plan) else drawn(plan)
        self.seed = self.plan.seed
        self.random = Random(f"world {self.seed}")
        self.clock = SimClock()
        self.schedule = Schedule(self.clock)
        self.trace = Trace(self.clock)
        self.faults = Faults(Random(f"faults {self.seed}"), self.plan.rates)
        self.kernel = Kernel(self.clock, self.schedule, self.faults, self.trace)
        self.report = Report()
        self.violations: list[Violation] = []
        self.invariants = [kind() for kind in invariants]
        self._look = [i.turned for i in self.invariants if type(i).turned is not Invariant.turned]
        self._sweep = [i.swept for i in self.invariants if type(i).swept is not Invariant.swept]
        self._watched = {invariant.name for invariant in self.invariants}
        self.log = Log()
        self.escaped: BaseException | None = None
        self.must_end_by: float | None = None
        self.sigterm_at: float | None = None
        self.signalled_twice = False
        self.may_cut_from = math.inf  # who is still there then may be cut
        self.patient_until = math.inf  # with what the clients still do after the server's end
        self.closing_down = False
        self.hurried = False  # it was ended before its end
        self.probe: Probe | None = None
        self.turn_progressed = self.turn_injected = True
        self.turn_woken_by = "nothing"
        self.turn_began = self.clock.now  # when select came back
        self.turn_stalls: list[float] = []  # for how long handlers have held up this turn
        self.turn_withheld = False  # it did not tell all that it could
        self._told_nobody = self._looks_again = False
        self._numbers: dict[object, int] = {}
        self._linked = 0
        self._crowd: list[Peer] = []
        self._paused: dict[Program, float] = {}  # programs that are stopped, and until when

        self.length = self.plan.length
        self.kernel.rooms = self.plan.rooms
        self.kernel.delay = self.plan.delay
        self.crowd = self.kernel.start_process("crowd", 4096)
        self.server_program = Serving(
            self.kernel,
            "server",
            self.seed,
            self._server_waits,
            self.plan.descriptors,
            # As a server's own loop is wired; the server comes later.
            on_error=lambda source, error: self.server.met_bug(source, error),
            on_slow=lambda seconds: self.server.slowness.turned(seconds),
        )
        #: what was published
        self.chronicle = Chronicle(lambda words: self.violated(ONCE, words)) if self.plan.topics else None
        self.server = open_server(
            self.plan,
            self.server_program,
            observer=lambda: self.observer_for("server", self.plan.observed),
            ended=self.ended,
            stall=self.stall,
            chronicle=self.chronicle,
        )
        self.server_address = self.server.addresses[0]
        addresses = tuple((a.host, a.port) for a in self.server.addresses)
        self.target = Target(
            addresses, self.plan.max_content, self.plan.max_json, lambda words: self.violated(ONCE, words)
        )
        self.kernel.on_connection = self._connected
        self.clients = [kind(self, name, Random(f"{name} {self.seed}")) for name, kind in self.plan.clients]
        for happening in self.plan.timeline():
            self.schedule.after(happening.at, happening.happen, self)

    # --- what its programs ask of it ---------------------------------------------------------

    def observer_for(self, name: str, chance: float = 0.5) -> Observer | None:
        """Some are observed and take every row one by one; the others many requests in a step."""
        return Watcher(self.report, self.trace, name) if self.random.random() < chance else None

    # --- what happens (`happenings`) ---------------------------------------------------------

    def arrive(self, script: Callable[[Peer], Any], number: int, count: int) -> None:
        if count > 1:
            self.faults.count("crowd: many at once")
        for n in range(count):
            random = Random(f"peer {number} {n} {self.seed}")
            self._crowd.append(Peer(self.kernel, self.crowd, self.target, script, random))

    def starve(self, spare: int, seconds: float) -> None:
        process = self.server_program.process
        self.faults.count("server: out of descriptors for a while")
        process.limit = max(process.files, default=3) + 1 + spare
        self.schedule.after(seconds, self._feed)

    def _feed(self) -> None:
        self.server_program.process.limit = self.plan.descriptors

    def suspend(self, seconds: float) -> None:
        self.faults.count("clock: leaps forward")
        self.leap(seconds)

    def leap(self, seconds: float) -> None:
        """Time goes by in which nobody could do anything."""
        self.clock.leap(seconds)
        self._allow(seconds)

    def stall(self, seconds: float) -> None:
        """A handler holds up the loop."""
        self.faults.count("handler: stalled in the loop")
        self.turn_stalls.append(seconds)
        self.leap(seconds)

    def _allow(self, seconds: float) -> None:
        """Nobody is to be blamed for these seconds."""
        self.patient_until += seconds
        if self.probe is not None:
            self.probe.until += seconds
        if self.must_end_by is not None:
            self.must_end_by += seconds

    def stop_server(self, seconds: float) -> None:
        self.faults.count("server: stopped for a while")
        self.trace.note("world", "stops the server")
        self._stop(self.server_program, seconds)
        self._allow(seconds)

    def pause(self, name: str, seconds: float) -> None:
        for client in self.clients:
            if client.name == name:
                self.faults.count("client: stopped for a while")
                self._stop(client, seconds)

    def _stop(self, program: Program, seconds: float) -> None:
        self._paused[program] = max(self._paused.get(program, 0.0), self.clock.now + seconds)
        program.interrupted = True

    def heal(self, then: Terminate) -> None:
        """Nothing goes wrong any more; somebody new comes."""
        stopped = self._paused.get(self.server_program, 0.0)
        if stopped > self.clock.now:
            self.schedule.at(stopped, self.heal, then)
            return
        self.trace.note("world", "heals")
        self.faults.heal()
        self._feed()
        random = Random(f"probe {self.seed}")
        self.probe = Probe(self.kernel, self.crowd, self.target, random, PROBE_PATIENCE)
        self.schedule.after(then.at, self._terminate_after_probe, then)

    def _terminate_after_probe(self, then: Terminate) -> None:
        assert self.probe is not None
        if self.probe.answered or self.clock.now >= self.probe.until:
            then.happen(self)
        else:
            self.schedule.at(self.probe.until, self._terminate_after_probe, then)

    def terminate_at_call(self, number: int, second: float | None) -> None:
        def called(process: Process) -> None:
            if process is self.server_program.process and process.calls >= number:
                self.kernel.on_call = None
                self.terminate(second)

        self.kernel.on_call = called

    def terminate(self, second: float | None) -> None:
        if self.must_end_by is not None or self.closing_down:
            return
        self.faults.count("signal: SIGTERM")
        self.trace.note("world", "SIGTERM")
        self.must_end_by = math.inf
        self.sigterm_at = self.clock.now
        drain = self.server.limits.drain_timeout
        if drain:
            self.must_end_by = max(self.clock.now, self._paused.get(self.server_program, 0.0)) + drain + 1.0
            self.may_cut_from = self.clock.now + drain
        self.server.drain()
        if second is not None:
            self.schedule.after(second, self._terminate_again)

    def _terminate_again(self) -> None:
        if not self.closing_down:
            self.faults.count("signal: a second one")
            self.trace.note("world", "second signal")
            self.signalled_twice = True
            at_once = max(self.clock.now, self._paused.get(self.server_program, 0.0)) + 1.0
            self.must_end_by = min(self.must_end_by or math.inf, at_once)
            self.may_cut_from = min(self.may_cut_from, self.clock.now)
            self.server.stop()

    # --- what is told ----------------------------------------------------------------------------

    def violated(self, name: str, words: str, always: bool = False) -> None:
        """An invariant does not hold; heard if it is one of those watched, or the world can't go on."""
        if not always and name not in self._watched:
            return
        self.violations.append((name, words))
        self.trace.note("VIOLATED", name, words)

    def number_of(self, message: object) -> int:
        """Connections are numbered as they are first spoken of."""
        return self._numbers.setdefault(message, len(self._numbers) + 1)

    def _connected(self, client: SimSocket, other: SimSocket) -> None:
        assert other.address is not None

        def wrong(words: str) -> None:
            self.violated("answered-once-rightly-in-order", f"{other}: {words}")

        if other.address == self.target.addresses[0]:
            other.tap = Conversation(self.server.codec.limits, wrong, self._listening(other))
        else:
            other.tap = EchoConversation(wrong)
        other.tap.unheard = self._unheard

    def _listening(self, sock: SimSocket) -> Listening | None:
        if self.chronicle is None:
            return None
        limits = self.server.limits
        return Listening(self.chronicle, limits, lambda name, words: self.violated(name, f"{sock}: {words}"))

    def _unheard(self, sock: SimSocket) -> int:
        """Bytes that had come when this turn of the server began, and of which it has read none in it."""
        rx = sock.rx
        if rx is None or not rx.unread or sock.dead or self.turn_withheld or not sock.watched_for(READ):
            return 0
        return len(rx.unread) if max(rx.unread_since, rx.read_at) < self.turn_began else 0

    def ended(self, message: Any, reason: CloseReason) -> None:
        talk = message.transport.sock.tap
        self.trace.note("server", "connection ends", reason.value)
        self.report.connections += 1
        self.report.connection_seconds += talk.closed_at - talk.accepted_at
        ending = Ending(message, reason, talk if isinstance(talk, Conversation) else None)
        for invariant in self.invariants:
            invariant.ended(self, ending)

    def _link(self) -> None:
        """Let conversations know their messages."""
        server = self.server
        if server.accepted == self._linked:
            return
        self._linked = server.accepted
        for message in (*server.connections, *server.refused):
            talk = message.transport.sock.tap
            if isinstance(talk, Conversation):
                talk.message = message

    # --- whose turn it is --------------------------------------------------------------------------

    def run(self) -> None:
        """From the beginning to the end, or to the first violation."""
        began = self.clock.now
        logger = logging.getLogger("multiconn")
        propagate, logger.propagate = logger.propagate, False
        logger.addHandler(self.log)
        try:
            self._serve()
            if not self.violations:
                self._aftermath()
        finally:
            logger.removeHandler(self.log)
            logger.propagate = propagate
            self.hurried = bool(self.violations)
            self.close()
        if not self.violations:
            for invariant in self.invariants:
                invariant.over(self)
        self.report.seconds = self.clock.now - began
        self.report.faults = self.faults.hits
        if self.chronicle is not None:
            self.report.events = self.chronicle.told
        self.report.reasons = Counter({reason.value: n for reason, n in self.server.closed_by.items()})

    def _serve(self) -> None:
        server, loop = self.server, self.server_program.loop
        try:
            server.run()
            for _ in range(3):
                loop.run_once(0)  # those that were cut hear of it, as `Server.close` does on a loop of its own
        except Over:
            pass
        except Exception as error:
            self.escaped = error
        self.closing_down = True
        loop.close()

    def _server_waits(self, timeout: float | None) -> Ready:
        """The server's turn is over: look at it, then let the others run until it is its turn again."""
        # Nobody was ready and a timer is due: it looks once more, which is no turn. (Twice in a row would be one.)
        self._looks_again = timeout == 0 and self._told_nobody and not self._looks_again
        if not self._looks_again:
            self._turned()
        if self.closing_down or self.server_program.selector.closed:
            return []
        selector = self.server_program.selector
        deadline = math.inf if timeout is None else self.clock.now + timeout
        while True:
            self.schedule.run_due()
            self._stop_if_violated()
            others = self._wanting()
            stopped = self._paused.get(self.server_program, 0.0) > self.clock.now
            ready = not stopped and (selector.is_ready() or self.clock.now >= deadline)
            if ready and (not others or self.random.random() < 0.5):
                break
            if others:
                self._let_one_run(others)
            elif not self._pass_time(deadline):
                self.violated("the-drain-ends-in-time", "the server sleeps for ever", always=True)
        self.turn_began = self.clock.now
        self.turn_stalls.clear()
        told = [] if timeout != 0 and self.server_program.wakes_blind(deadline) else selector.poll()
        self._told_nobody = not told
        self.turn_injected = selector.injected
        self.turn_withheld = selector.withheld
        self.turn_progressed = False
        self.kernel.progress = False
        self.turn_woken_by = ", ".join(str(key.fileobj) for key, _ in told) or "its own timers and callbacks"
        return told

    def _turned(self) -> None:
        self.report.turns += 1
        self.turn_progressed = self.turn_progressed or self.kernel.progress
        self._link()
        for turned in self._look:
            turned(self)
        if self.report.turns % (1 + len(self.server.connections) // 4) == 0:
            for swept in self._sweep:
                swept(self)
        if self.report.turns > MOST_TURNS:
            self.violated("no-turn-without-progress", f"{MOST_TURNS} turns and no end", always=True)
        self._stop_if_violated()

    def _stop_if_violated(self) -> None:
        if self.violations:
            raise Over

    def _wanting(self) -> list[Any]:
        """Programs beside the server that have something to do."""
        now = self.clock.now
        return [c for c in self.clients if c.wants_to_run and self._paused.get(c, 0.0) <= now]

    def _let_one_run(self, programs: list[Any]) -> None:
        chosen = programs[0] if len(programs) == 1 else self.random.choice(programs)
        chosen.turn()

    def _pass_time(self, deadline: float = math.inf) -> bool:
        """On to when the next thing is due; False if nothing ever is."""
        now = self.clock.now
        times = [until for until in (deadline, *self._paused.values()) if until > now]
        times += [c.deadline for c in self.clients if c.deadline > now]
        due = self.schedule.next_due()
        if due is not None:
            times.append(due)
        soonest = min(times, default=math.inf)
        if soonest == math.inf:
            return False
        self.clock.reach(soonest)
        return True

    def _aftermath(self) -> None:
        """The server is gone: clients come to their ends, each in its own way."""
        self._others_run(lambda: False, ECHO)
        self._others_run(lambda: not any(getattr(c, "waits", not c.over) for c in self.clients))
        for client in self.clients:
            if hasattr(client, "finish"):
                client.finish()
        self._others_run(lambda: all(c.over for c in self.clients))

    def _others_run(self, done: Callable[[], bool], seconds: float = AFTERMATH) -> None:
        self.patient_until = self.clock.now + seconds
        while not done() and not self.violations and self.clock.now < self.patient_until:
            self.schedule.run_due()
            others = self._wanting()
            if others:
                self._let_one_run(others)
            elif not self._pass_time(self.patient_until):
                return

    def close(self) -> None:
        """Whoever is left ends now, and every thread with it."""
        for peer in self._crowd:
            peer.end()
        if self.probe is not None:
            self.probe.end()
        for client in self.clients:
            client.close()
