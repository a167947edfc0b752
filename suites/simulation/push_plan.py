"""Who listens and who speaks in the world of one seed?

Every second world has topics. It has random numbers of its own for them: what else its seed means stays what it was,
but for limits without which nobody would ever be slow.

Not here: the rest of a plan (`plan`), what these peers do (`subscribers`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from .happenings import Arrival, Happening, Terminate, TerminateAtCall
from .subscribers import SCRIPTS, SPEAKERS

__all__ = ["Push", "drawn_push"]

#: What the numbers of their arrivals begin with; those of others are below.
NUMBERED_FROM = 20_000
#: Seconds within which a company gathers.
GATHERING = 3.0


#: The part of a world in which things happen; then it heals.
BUSY = 0.74


class Push(NamedTuple):
    """What topics add to a plan: these take the place of its own limits and rooms."""

    limits: dict[str, Any]
    rooms: tuple[int, int] | None  #: None: as they are
    happenings: tuple[Happening, ...]


def drawn_push(seed: int, length: float, limits: Mapping[str, Any], happenings: Sequence[Happening]) -> Push | None:
    """What they add to the plan of this seed, whose own limits and happenings these are; None: it has none."""
    random = Random(f"push {seed}")
    if random.random() < 0.5:
        return None
    rooms = random.choice(((2048, 2048), (2048, 2048), (16_384, 8192), None))
    return Push(_limits(random, limits), rooms, tuple(_companies(random, length, happenings)))


def _limits(random: Random, limits: Mapping[str, Any]) -> dict[str, Any]:
    draw = random.choice
    high = draw((2048, 2048, 16_384, limits["write_high"]))
    output = limits["output_limit"]
    return {
        "write_high": high,
        "write_low": draw((0, high // 4, high // 2, high)),
        "output_limit": draw((0, output if output >= high else 4 * high, 128 * 1024 * 1024)),
        "max_connections": draw((8, 40, 10_000)),
        "history": draw((0, 3, 20, 100)),
        "history_bytes": draw((0, 4000, 1024 * 1024, 1024 * 1024)),
        "max_topics": draw((2, 4, 10_000, 10_000)),
        "max_subscriptions": draw((1, 3, 100, 100)),
        "push_queue": draw((2000, 20_000, 64 * 1024 * 1024)),
    }


def _companies(random: Random, length: float, happenings: Sequence[Happening]) -> list[Happening]:
    """Some that listen and some that speak gather now and then; also when SIGTERM is about to come."""
    starts = [0.7 * length * random.random() for _ in range(random.choice((1, 2, 3)))]
    for happening in happenings:
        if isinstance(happening, TerminateAtCall):
            starts.append(0.0)
        elif isinstance(happening, Terminate):
            starts.append(max(0.0, happening.at - 2 * GATHERING * random.random()))
    arrivals: list[Happening] = []
    for start in starts:
        scripts = [random.choice(SCRIPTS) for _ in range(random.choice((2, 5, 9)))]
        for script in (*scripts, random.choice(SPEAKERS)):
            at = min(start + GATHERING * random.random() ** 2, BUSY * length)
            arrivals.append(Arrival(at, script, NUMBERED_FROM + len(arrivals)))
    return arrivals
