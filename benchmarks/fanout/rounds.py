"""In which order are the servers visited?

As in `benchmarks.rounds`: all servers of a group are started, then visited in rounds, each in a new random order, so
that ratios can be taken between neighbours in time. The rows of one group are visited in the same rounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress

from benchmarks.fanout.drive import Driven, Row, drive
from benchmarks.fanout.servers import Peer
from benchmarks.processes import CannotStart, ServerProcess
from benchmarks.visit import Settings, Visit

__all__ = ["run"]


def run(
    groups: Sequence[Sequence[Row]], peers: Sequence[Peer], settings: Settings, say: Callable[[str], None]
) -> Iterator[tuple[Row, Peer, Driven]]:
    """Every visit, as soon as it is made; `say` tells a person how far we are. Raises `CannotCompile`."""
    chance = random.Random(settings.seed)
    for rows in groups:
        yield from _rounds(rows, peers, settings, chance, say)


def _rounds(
    rows: Sequence[Row], peers: Sequence[Peer], settings: Settings, chance: random.Random, say: Callable[[str], None]
) -> Iterator[tuple[Row, Peer, Driven]]:
    # Twice: a server may hear of the end of the last visit's connections after the next visit's have come.
    room = 2 * max(row.subscribers + row.stalled for row in rows)
    with ExitStack() as alive:
        servers: dict[str, ServerProcess] = {}
        for peer in peers:
            with suppress(CannotStart):  # it is tried again, and its reason told, at its visits
                servers[peer.name] = alive.enter_context(peer.start(room, settings.server_core))
        for number in range(settings.rounds):
            order = [(row, peer) for row in rows for peer in peers]
            chance.shuffle(order)
            for row, peer in order:
                say(f"{row.name}: round {number + 1} of {settings.rounds}, {peer.name}")
                with ExitStack() as this_visit:
                    try:
                        server = servers.get(peer.name)
                        if server is None or server.ended:
                            server = this_visit.enter_context(peer.start(room, settings.server_core))
                        driven = drive(server, peer, row, number, settings)
                    except CannotStart as error:
                        reason = f"it could not be started: {error}"
                        driven = Driven(Visit(row.name, peer.name, number, broken=reason))
                yield row, peer, driven
