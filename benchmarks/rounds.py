"""In which order are the servers visited, so that a noisy machine is unfair to none of them?

For each load all its servers are started, then visited in rounds, each round in a new random
order: what disturbs the machine for a while disturbs neighbours in the same round, and the ratio
within a round cancels it. Loads that are marked `alone` have one server alive at a time, since
the megabytes of the idle ones would still be in the caches; they are started anew for each visit.

So are all, under every load, where two commits are compared. A process draws its memory layout and the seeds of its
hashes when it starts, and keeps them: two processes of one commit may differ for as long as they live.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from benchmarks.loads import Load
from benchmarks.peers import Peer
from benchmarks.processes import CannotStart, ServerProcess
from benchmarks.requests import pack
from benchmarks.visit import HOST, Settings, Visit, visit

__all__ = ["run"]


def run(
    loads: Sequence[Load], peers: Sequence[Peer], settings: Settings, say: Callable[[str], None], anew: bool = False
) -> Iterator[Visit]:
    """Every visit of every load, as soon as it is made; `say` tells a person how far we are.

    `anew`: each visit has a server of its own.
    """
    chance = random.Random(settings.seed)
    with tempfile.TemporaryDirectory(prefix="multiconn-benchmarks-") as directory:
        for load in loads:
            requests = Path(directory) / load.name
            requests.write_bytes(pack(load.variants()))
            taking = [peer for peer in peers if peer.takes(load)]
            yield from _rounds(load, taking, requests, settings, chance, say, load.alone or anew)


def _rounds(
    load: Load,
    peers: Sequence[Peer],
    requests: Path,
    settings: Settings,
    chance: random.Random,
    say: Callable[[str], None],
    anew: bool,
) -> Iterator[Visit]:
    with ExitStack() as alive:
        servers: dict[str, ServerProcess] = {}
        if not anew:
            say(f"{load.name}: starting {len(peers)} servers")
            for peer in peers:
                with suppress(CannotStart):  # it is tried again, and its reason told, at its visit
                    servers[peer.name] = alive.enter_context(_started(peer, load, settings))
        for number in range(settings.rounds):
            order = list(peers)
            chance.shuffle(order)
            for peer in order:
                say(f"{load.name}: round {number + 1} of {settings.rounds}, {peer.name}")
                with ExitStack() as this_visit:
                    try:
                        server = servers.get(peer.name)
                        if server is None or server.ended:
                            server = this_visit.enter_context(_started(peer, load, settings))
                        result = visit(server, load, peer.name, number, requests, settings)
                    except CannotStart as error:
                        result = Visit(load.name, peer.name, number, broken=f"it could not be started: {error}")
                yield result


def _started(peer: Peer, load: Load, settings: Settings) -> ServerProcess:
    return ServerProcess(peer.command_line(HOST, 0, *peer.options_for(load)), settings.server_core, peer.root)
