"""What shall happen in the world of one seed?

Everything that a seed decides before its world begins, as data: the server's limits, who comes when and what
for, what may go wrong and how often, when signals come. So a plan can also be written by hand, for a test that
names what it needs,

    World(Plan(happenings=(Arrival(0.1, peers.garbage, 1),), end=Terminate(1.0, second=0.5)))

and a plan that fails can be made smaller and tried again (`shrink`). Once it runs, whose turn it is and whether
a fault hits is drawn by lot, from `seed` too.

Not here: how anything of this is done (`world`), who listens and who speaks (`push_plan`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from libserver.limits import ServerLimits

from .clients import KINDS
from .faults import Faults
from .happenings import Arrival, Famine, Happening, Heal, Leap, Pause, Standstill, Terminate, TerminateAtCall
from .peers import SCRIPTS, connect_only, heartbeat, one_shot, staller
from .push_plan import Push, drawn_push

__all__ = ["PROBE_PATIENCE", "Plan", "drawn"]

#: Seconds a newcomer has to be served in once all is well: a full accept queue costs 15 of them (SYN again).
PROBE_PATIENCE = 40.0


@dataclass(frozen=True)
class Plan:
    """A world before it begins. As it stands nothing goes wrong, nobody comes, and the limits are the defaults."""

    seed: int = 0
    length: float = 10.0  #: seconds in which the crowd comes
    rooms: tuple[int, int] = (65_536, 65_536)  #: bytes a send buffer has, and a receive buffer
    delay: float = 0.000_05  #: seconds to the peer, at the least
    descriptors: int = 1024  #: of the server's process
    limits: Mapping[str, Any] = field(default_factory=dict)  #: of the server, where they are not the defaults
    max_header: int = 65_535
    max_content: int = 300_000
    max_json: int = 1024 * 1024
    topics: bool = False  #: the server has topics
    refuses_new: bool = True  #: the system can have a listener begin no further connection (`eventloop.quiesce`)
    observed: float = 0.0  #: the share of the server's connections that an observer walks with
    rates: Mapping[str, float] = field(default_factory=dict)  #: what may go wrong, and how often
    clients: tuple[tuple[str, type[Any]], ...] = ()  #: of the library, by name
    happenings: tuple[Happening, ...] = ()
    end: Happening = field(default_factory=lambda: Terminate(10.0))

    def timeline(self) -> list[Happening]:
        """All that happens, the end too, in its order."""
        return sorted((*self.happenings, self.end), key=lambda happening: happening.at)

    def gathered(self, part: float) -> Plan:
        """The same in this part of the time."""

        def sooner(happening: Happening) -> Happening:
            return replace(happening, at=happening.at * part)

        return replace(
            self,
            length=self.length * part,
            happenings=tuple(sooner(happening) for happening in self.happenings),
            end=sooner(self.end),
        )


def drawn(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(f"plan {seed}")
    draw = random.choice
    length = draw((3.0, 40.0, 600.0, 7200.0))
    apart = Random(f"drain {seed}")  # what else a seed means is what it was before there was a grace
    limits = _limits(random) | _endings(apart)
    names = [f"client{n}" for n in range(draw((0, 1, 2, 4)))]
    sudden = _sudden_end(random, length, limits)
    plan = Plan(
        seed=seed,
        length=length,
        rooms=draw((draw(((2048, 2048), (16_384, 8192))), (65_536, 65_536))),
        delay=draw((0.00005, 0.002, 0.08)),
        descriptors=draw((60, 1024)),
        limits=limits,
        max_header=draw((400, 65_535)),
        max_content=draw((1000, 70_000, 300_000)),
        max_json=draw((600, 20_000, 1024 * 1024)),
        refuses_new=apart.random() < 0.5,
        observed=draw((0.0, 0.5, 1.0)),
        rates=Faults.drawn(random),
        clients=tuple((name, draw(KINDS)) for name in names),
        happenings=(
            *_crowd(random, length, limits["backlog"]),
            *_trouble(random, length, names),
            *sudden,
            *_last(apart, sudden),
        ),
        end=_end(random, length, limits, bool(sudden)),
    )
    push = drawn_push(seed, length, limits, plan.happenings)
    return plan if push is None else _with_topics(plan, push)


def _with_topics(plan: Plan, push: Push) -> Plan:
    limits = {**plan.limits, **push.limits}
    ServerLimits(**limits)
    return replace(
        plan,
        topics=True,
        limits=limits,
        rooms=push.rooms or plan.rooms,
        happenings=(*plan.happenings, *push.happenings),
    )


def _limits(random: Random) -> dict[str, Any]:
    draw = random.choice
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


def _endings(random: Random) -> dict[str, Any]:
    limits = {
        "drain_grace": random.choice((0.0, 0.3, 1.0, 5.0)),
        "max_requests": random.choice((0, 0, 0, 0, 0, 1, 3)),
        "max_age": random.choice((0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 100.0)),
    }
    ServerLimits(**limits)
    return limits


def _busy(random: Random, length: float) -> float:
    """Some time before everything heals."""
    return 0.7 * length * random.random()


def _crowd(random: Random, length: float, backlog: int) -> list[Happening]:
    """Who comes: most at any time, some at the beginning, now and then many at once.

    Not many at once who hold up the loop, and nowhere to queue: a newcomer would be the kernel's to wait for.
    """
    crowd: list[Happening] = []
    for number in range(random.choice((4, 12, 40))):
        at = _busy(random, length) if random.random() < 0.7 else random.random()
        crowd.append(Arrival(at, random.choice(SCRIPTS), number))
    if random.random() < 0.3:
        script = staller if random.random() < 0.2 else random.choice(SCRIPTS)
        at, count = _busy(random, length), random.choice((20, 80))
        if script is not staller or backlog >= count:
            crowd.append(Arrival(at, script, len(crowd), count))
    return crowd


def _trouble(random: Random, length: float, clients: list[str]) -> list[Happening]:
    trouble: list[Happening] = []
    for famine in range(random.choice((0, 0, 1, 4))):
        at = _busy(random, length)
        trouble.append(Famine(at, random.randint(0, 3), 5 * random.random()))
        others = range(1000 * (1 + famine), 1000 * (1 + famine) + random.choice((0, 3, 8)))
        trouble += [Arrival(at, random.choice(SCRIPTS), number) for number in others]  # they come just then
    for kind, seconds in ((Leap, (0.5, 20.0, 3600.0)), (Standstill, (0.5, 4.0, 70.0))):
        times = random.choice((0, 0, 0, 3))
        trouble += [kind(_busy(random, length), random.choice(seconds)) for _ in range(times)]
    trouble += [Pause(_busy(random, length), name, 20 * random.random()) for name in clients if random.random() < 0.3]
    return trouble


def _second(random: Random, limits: dict[str, Any]) -> float | None:
    """When a second signal comes: always if nothing else would end a drain."""
    drain = limits["drain_timeout"]
    return (drain or 30.0) * random.random() if not drain or random.random() < 0.3 else None


def _sudden_end(random: Random, length: float, limits: dict[str, Any]) -> list[Happening]:
    """In some worlds SIGTERM comes in the middle of everything."""
    if random.random() >= 0.3:
        return []
    second = _second(random, limits)
    if random.random() < 0.5:
        return [Terminate(_busy(random, length), second)]
    return [TerminateAtCall(0.0, second, random.randint(1, 600))]


def _last(random: Random, sudden: list[Happening]) -> list[Happening]:
    """Some connect right before a SIGTERM, and are on their way, or in the queue, or have not spoken."""
    moments = [happening.at for happening in sudden if isinstance(happening, Terminate)]
    return [
        Arrival(max(0.0, at - 0.2 * random.random() ** 4), random.choice((one_shot, connect_only, heartbeat)), 9000 + n)
        for at in moments
        for n in range(random.choice((0, 4, 12)))
    ]


def _end(random: Random, length: float, limits: dict[str, Any], sudden: bool) -> Happening:
    """It must end in any case; where it has not ended before, a newcomer is served first."""
    second = _second(random, limits)
    if sudden:
        return Terminate(length, second)
    return Heal(0.75 * length, Terminate(PROBE_PATIENCE + 0.25 * length, second))
