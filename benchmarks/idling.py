"""Does a request cost more when thousands of others idle?

Two servers of the same program share a core: one has a crowd of idle connections, the other none.
The generator visits them in turn, so that the ratio of what a request costs them says what the
crowd costs, whatever else this machine does meanwhile.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.crowd import Crowd
from benchmarks.loads import LOADS
from benchmarks.peers import Peer
from benchmarks.processes import ServerProcess
from benchmarks.requests import pack
from benchmarks.results import Ratio
from benchmarks.visit import Settings, Visit, visit

__all__ = ["Crowded", "cost_of_idling"]

HOST = "127.0.0.1"
LOAD = LOADS["64x1"]


@dataclass(frozen=True)
class Crowded:
    """CPU per request with `idle` connections beside it, and as a multiple of without. `p99_us`: median of rounds.

    `broken`: why visits count for nothing, if some do.
    """

    idle: int
    cpu_us: float
    p99_us: float
    ratio: Ratio
    broken: list[str]


def cost_of_idling(peer: Peer, levels: Sequence[int], settings: Settings, say: Callable[[str], None]) -> list[Crowded]:
    """One result per level, in the order of `levels`, which must grow. Raises `CannotStart` or `CrowdFailed`."""
    chance = random.Random(settings.seed)
    room = peer.room_for(max(levels) + LOAD.connections)
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="multiconn-benchmarks-") as directory,
        ServerProcess(peer.command_line(HOST, 0, *room), settings.server_core) as empty,
        ServerProcess(peer.command_line(HOST, 0, *room), settings.server_core) as crowded,
        Crowd(crowded.port) as crowd,
    ):
        requests = Path(directory) / LOAD.name
        requests.write_bytes(pack(LOAD.variants()))
        for level in levels:
            crowd.open(level - len(crowd))
            pairs = []
            broken = []
            for number in range(settings.rounds):
                say(f"idling: {level} connections, round {number + 1} of {settings.rounds}")
                pair: dict[str, Visit] = {}
                order = [("empty", empty), ("crowded", crowded)]
                chance.shuffle(order)
                for name, server in order:
                    pair[name] = visit(server, LOAD, name, number, requests, settings)
                if reasons := [f"{level} idle, {name}: {one.broken}" for name, one in pair.items() if one.broken]:
                    broken += reasons
                else:
                    pairs.append(pair)
            found.append(_crowded(level, pairs, broken))
    return found


def _crowded(idle: int, pairs: Sequence[dict[str, Visit]], broken: list[str]) -> Crowded:
    if not pairs:
        return Crowded(idle, 0.0, 0.0, Ratio(0.0, 0.0, 0.0, 0), broken)
    ratios = [pair["crowded"].cpu_us / pair["empty"].cpu_us for pair in pairs]
    return Crowded(
        idle,
        median(pair["crowded"].cpu_us for pair in pairs),
        median(pair["crowded"].p99_us for pair in pairs),
        Ratio(median(ratios), min(ratios), max(ratios), len(ratios)),
        broken,
    )
