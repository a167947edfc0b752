"""What happens in the world of one seed?

Everything here follows from the seed: the server's limits, who comes when and what for, what goes wrong
and how often, when SIGTERM comes, and whose turn it is whenever several could go on.

    world = World(seed)
    world.run()
    world.violations, world.trace, world.report

A world has a beginning, in which the crowd arrives and everything may go wrong; in most seeds a healing,
after which a newcomer must be served; a SIGTERM, at its end or at any call of the server before; and an
aftermath in which the clients come to their ends.

`server.run()` is called as the command does. Its select waits in here (`_server_waits`), and the world
goes on from there.

Not here: what must hold (`invariants`), what peers do (`peers`, `clients`).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from eventloop import Address, Endpoint
from libserver import Actions, Server
from libserver.limits import ServerLimits
from libserver.listeners import Bound
from libserver.reasons import CloseReason
from libserver.system import System
from protocol import Limits
from protocol.states import Machine, Observer, Row, Subject

from .clients import KINDS
from .clock import SimClock
from .faults import Faults
from .invariants import INVARIANTS, Ending, Invariant
from .kernel import Kernel, Process
from .oracle import BIG, Conversation, EchoConversation
from .peers import SCRIPTS, Peer, Probe
from .pool import SimPool
from .programs import Over, Program, Serving
from .report import Report
from .schedule import Schedule
from .selector import Ready
from .sockets import SimSocket
from .trace import Trace

__all__ = ["Violation", "World"]

#: Waits of the server after which a world has gone wrong, whatever the invariants say.
MOST_TURNS = 100_000
#: Seconds a newcomer has to be served in once all is well: a full accept queue costs 15 of them (SYN again).
PROBE_PATIENCE = 40.0
#: Seconds that clients have after the server's end, and then to close.
AFTERMATH = 200.0

Violation = tuple[str, str]


class WatchedServer(Server):
    """The server, telling the world of each end. Nothing it does is changed."""

    def __init__(self, *args: Any, ended: Callable[[Any, CloseReason], None], **options: Any) -> None:
        self._ended = ended
        super().__init__(*args, **options)

    def forget(self, accepted: Any, reason: CloseReason) -> None:
        super().forget(accepted, reason)
        self._ended(accepted, reason)


class _Watcher:
    """`protocol.states.Observer`: counts the rows that are taken."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    def transition(self, subject: Subject, machine: Machine, row: Row) -> None:
        self._world.report.rows[machine.name, row.state, row.input] += 1
        self._world.trace.note(self._name, machine.name, row.state, row.input, row.target)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class World:
    """One seed's world. `violations` is empty when nothing was wrong."""

    def __init__(self, seed: int, invariants: Sequence[type[Invariant]] = INVARIANTS) -> None:
        self.seed = seed
        self.random = random = Random(f"world {seed}")
        self.clock = SimClock()
        self.schedule = Schedule(self.clock)
        self.trace = Trace(self.clock)
        self.faults = Faults.drawn(Random(f"faults {seed}"))
        self.kernel = Kernel(self.clock, self.schedule, self.faults, self.trace)
        self.report = Report()
        self.violations: list[Violation] = []
        self.invariants = [kind() for kind in invariants]
        self._watched = {invariant.name for invariant in self.invariants}
        self.processes: list[Process] = []
        self.log = _Log()
        self.escaped: BaseException | None = None
        self.must_end_by: float | None = None
        self.may_cut_from = math.inf  # who is still there then may be cut
        self.patient_until = math.inf  # with what the clients still do after the server's end
        self.closing_down = False
        self.hurried = False  # it was ended before its end
        self.probe: Probe | None = None
        self.turn_progressed = self.turn_injected = True
        self.turn_woken_by = "nothing"
        self._numbers: dict[object, int] = {}
        self._linked = 0
        self._runnable: list[Any] = []
        self._paused: dict[Program, float] = {}

        self.length = random.choice((3.0, 40.0, 600.0, 7200.0))
        small = random.random() < 0.5
        self.kernel.rooms = random.choice(((2048, 2048), (16_384, 8192))) if small else (65_536, 65_536)
        self.kernel.delay = random.choice((0.00005, 0.002, 0.08))
        self.crowd = Process("crowd", 4096)
        self.processes.append(self.crowd)
        self._open_server()
        self.kernel.on_connection = self._connected
        self.clients = [
            kind(self, f"client{n}", Random(f"client {n} {seed}"))
            for n, kind in enumerate(random.choices(KINDS, k=random.choice((0, 1, 2, 4))))
        ]
        self._plan()

    # --- the server ------------------------------------------------------------------------

    def _open_server(self) -> None:
        random = self.random
        self.server_program = Serving(self, "server", self._server_waits, limit=random.choice((60, 1024)))
        self.limits = self._draw_limits()
        self.max_content = random.choice((1000, 70_000, 300_000))
        sizes = Limits(max_header=random.choice((400, 65_535)), max_content=self.max_content)
        loop = self.server_program.loop
        system = System(
            listen=self._listen,
            raise_descriptor_limit=lambda: 100_000,  # it shall meet EMFILE
            open_reserve=self._open_reserve,
            close_reserve=self.server_program.process.release,
            pool=lambda threads, hand_back: SimPool(threads, hand_back, self.schedule, self.faults),
        )
        observed = random.choice((0.0, 0.5, 1.0))
        self.server = WatchedServer(
            ["tcp://127.0.0.1:0", "echo://127.0.0.1:0"],
            self._actions(),
            sizes,
            loop,
            observer=lambda: self.observer_for("server", observed),
            system=system,
            ended=self._ended,
            **self.limits,
        )
        self.server_address = self.server.addresses[0]

    def _draw_limits(self) -> dict[str, Any]:
        draw = self.random.choice
        high = draw((2048, 16_384, 262_144))
        limits = {
            "max_connections": draw((2, 8, 40, 10_000)),
            "max_connections_per_ip": draw((0, 0, 0, 3)),
            "min_data_rate": draw((0, 20, 240)),
            "header_timeout": draw((2.0, 10.0)),
            "content_timeout": draw((3.0, 60.0)),
            "idle_timeout": draw((0.0, 5.0, 60.0, 300.0)),
            "send_timeout": draw((3.0, 60.0)),
            "write_high": high,
            "write_low": draw((0, high // 4, high)),
            "output_limit": draw((0, high, 4 * high, 128 * 1024 * 1024)),
            "requests_per_event": draw((1, 4, 1024)),
            "handler_threads": draw((1, 4)),
            "drain_timeout": draw((0.0, 1.0, 10.0)),
            "backlog": draw((1, 8, 4096)),
        }
        ServerLimits(**limits)
        return limits

    def _actions(self) -> Actions:
        actions = Actions()

        def value(request: dict[str, Any]) -> object:
            return request.get("value")

        def stall(request: dict[str, Any]) -> object:
            self.faults.count("handler: stalled in the loop")
            self._leap(min(5000, request["value"]) / 1000)
            return request["value"]

        def boom(request: dict[str, Any]) -> object:
            raise RuntimeError("as asked")

        actions.add("slow", blocking=True)(value)
        actions.add("stall")(stall)
        actions.add("boom")(boom)
        actions.add("big")(lambda request: "x" * min(BIG, request["value"]))
        actions.add_binary("binary/slow", blocking=True)(lambda content: content)
        return actions

    def _listen(self, address: Address, limits: ServerLimits) -> list[Bound]:
        sock = self.kernel.socket(self.server_program.process)
        sock.bind((address.host, address.port))
        sock.listen(limits.backlog)
        return [Bound(sock, address._replace(port=sock.getsockname()[1]))]

    def _open_reserve(self) -> int:
        return self.server_program.process.open("reserve")

    def observer_for(self, name: str, chance: float = 0.5) -> Observer | None:
        """Some are observed and walk through every row; the others take the fast step."""
        return _Watcher(self, name) if self.random.random() < chance else None

    def address(self, listener: int) -> tuple[str, int]:
        address = self.server.addresses[listener]
        return address.host, address.port

    @staticmethod
    def resolve(address: Address) -> list[Endpoint]:
        return [Endpoint(2, (address.host, address.port))]  # AF_INET

    # --- what is planned ---------------------------------------------------------------------

    def _plan(self) -> None:
        random, at, start = self.random, self.schedule.at, self.clock.now
        busy = 0.7 * self.length
        for n in range(random.choice((4, 12, 40))):
            script = random.choice(SCRIPTS)
            when = start + (busy * random.random() if random.random() < 0.7 else random.random())
            at(when, self._arrive, script, Random(f"peer {n} {self.seed}"))
        if random.random() < 0.3:
            at(start + busy * random.random(), self._flood, random.choice((20, 80)))
        for _ in range(random.choice((0, 0, 1, 4))):
            at(start + busy * random.random(), self._famine, random.randint(0, 3), 5 * random.random())
        for _ in range(random.choice((0, 0, 0, 2))):
            at(start + busy * random.random(), self._suspend, random.choice((0.5, 20.0, 3600.0)))
        for client in self.clients:
            if random.random() < 0.3:
                at(start + busy * random.random(), self._pause, client, 20 * random.random())
        if random.random() < 0.3:
            if random.random() < 0.5:
                at(start + busy * random.random(), self._sigterm)
            else:
                self._sigterm_at_call(random.randint(1, 600))
            at(start + self.length, self._sigterm)
        else:
            at(start + 0.75 * self.length, self._heal)

    def _arrive(self, script: Callable[[Peer], Any], random: Random) -> None:
        self._peers.append(Peer(self, script, random))

    @property
    def _peers(self) -> list[Peer]:
        return self.__dict__.setdefault("_crowd", [])

    def _flood(self, count: int) -> None:
        """Many at once."""
        self.faults.count("crowd: many at once")
        script = self.random.choice(SCRIPTS)
        for n in range(count):
            self._arrive(script, Random(f"flood {n} {self.seed}"))

    def _famine(self, spare: int, seconds: float) -> None:
        """Somebody takes nearly all descriptors away, just as others come, and gives them back later."""
        process = self.server_program.process
        self.faults.count("server: out of descriptors for a while")
        process.limit = max(process.files, default=3) + 1 + spare
        self.schedule.after(seconds, self._end_famine, 1024)
        for n in range(self.random.choice((0, 3, 8))):
            self._arrive(self.random.choice(SCRIPTS), Random(f"famine {n} {self.clock.now} {self.seed}"))

    def _end_famine(self, limit: int) -> None:
        self.server_program.process.limit = limit

    def _suspend(self, seconds: float) -> None:
        self.faults.count("clock: leaps forward")
        self._leap(seconds)

    def _leap(self, seconds: float) -> None:
        self.clock.leap(seconds)
        self.patient_until += seconds
        if self.must_end_by is not None:
            self.must_end_by += seconds

    def _pause(self, program: Program, seconds: float) -> None:
        self.faults.count("client: stopped for a while")
        self._paused[program] = self.clock.now + seconds

    def _heal(self) -> None:
        """Nothing goes wrong any more; somebody new comes."""
        self.trace.note("world", "heals")
        self.faults.heal()
        self._end_famine(1024)
        self.probe = Probe(self, Random(f"probe {self.seed}"), PROBE_PATIENCE)
        self.schedule.after(PROBE_PATIENCE + 0.25 * self.length, self._sigterm)

    # --- signals -------------------------------------------------------------------------------

    def _sigterm_at_call(self, number: int) -> None:
        def called(process: Process) -> None:
            if process is self.server_program.process and process.calls >= number:
                self.kernel.on_call = None
                self._sigterm()

        self.kernel.on_call = called

    def _sigterm(self) -> None:
        if self.must_end_by is not None or self.closing_down:
            return
        self.faults.count("signal: SIGTERM")
        self.trace.note("world", "SIGTERM")
        self.must_end_by = math.inf
        drain = self.limits["drain_timeout"]
        if drain:
            self.must_end_by = self.clock.now + drain + 1.0
            self.may_cut_from = self.clock.now + drain
        self.server.drain()
        if not drain or self.random.random() < 0.3:
            self.schedule.after((drain or 30.0) * self.random.random(), self._second_signal)

    def _second_signal(self) -> None:
        if not self.closing_down:
            self.faults.count("signal: a second one")
            self.trace.note("world", "second signal")
            self.must_end_by = min(self.must_end_by or math.inf, self.clock.now + 1.0)
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

        if other.address == self.address(0):
            sizes = self.server.codec.limits
            other.tap = Conversation(sizes.max_header, sizes.max_content, wrong)
        else:
            other.tap = EchoConversation(wrong)

    def _ended(self, message: Any, reason: CloseReason) -> None:
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
        self._turned()
        if self.closing_down or self.server_program.selector.closed:
            return []
        selector = self.server_program.selector
        deadline = math.inf if timeout is None else self.clock.now + timeout
        while True:
            self.schedule.run_due()
            self._stop_if_violated()
            others = self._wanting()
            ready = selector.is_ready() or self.clock.now >= deadline
            if ready and (not others or self.random.random() < 0.5):
                break
            if others:
                self._let_one_run(others)
            elif not self._pass_time(deadline):
                self.violated("the-drain-ends-in-time", "the server sleeps for ever", always=True)
        told = selector.poll()
        self.turn_injected = selector.injected
        self.turn_progressed = False
        self.kernel.progress = False
        self.turn_woken_by = ", ".join(str(key.fileobj) for key, _ in told) or "its own timers and callbacks"
        return told

    def _turned(self) -> None:
        self.report.turns += 1
        self.turn_progressed = self.turn_progressed or self.kernel.progress
        self._link()
        for invariant in self.invariants:
            invariant.turned(self)
        if self.report.turns % (1 + len(self.server.connections) // 4) == 0:
            for invariant in self.invariants:
                invariant.swept(self)
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
        times = [deadline, *(until for until in self._paused.values() if until > now)]
        times += [c.deadline for c in self.clients if c.deadline > now]
        due = self.schedule.next_due()
        if due is not None:
            times.append(due)
        soonest = min(times)
        if soonest == math.inf:
            return False
        self.clock.reach(soonest)
        return True

    def _aftermath(self) -> None:
        """The server is gone: clients come to their ends, each in its own way."""
        self._others_run(lambda: not any(getattr(c, "waits", not c.over) for c in self.clients))
        for client in self.clients:
            if hasattr(client, "finish"):
                client.finish()
        self._others_run(lambda: all(c.over for c in self.clients))

    def _others_run(self, done: Callable[[], bool]) -> None:
        self.patient_until = self.clock.now + AFTERMATH
        while not done() and not self.violations and self.clock.now < self.patient_until:
            self.schedule.run_due()
            others = self._wanting()
            if others:
                self._let_one_run(others)
            elif not self._pass_time(self.patient_until):
                return

    def close(self) -> None:
        """Whoever is left ends now, and every thread with it."""
        for peer in self._peers:
            peer.end()
        if self.probe is not None:
            self.probe.end()
        for client in self.clients:
            client.close()
