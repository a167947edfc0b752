"""What came out of one visit of the driver to one server?

A visit is a row of the table, for one measured window: so many subscribers, and so many messages in flight. The figures
are `benchmarks.visit`'s, where a delivery is what a request is there: `rate` counts deliveries, `cpu_us` is the
server's processor time for one.

Not here: how a lost delivery is noticed (`driver.c`), the protocols (`protocols.h`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from benchmarks.compiling import FANOUT_DRIVER, compiled
from benchmarks.fanout.servers import Peer
from benchmarks.visit import HOST, PATIENCE, Settings, Visit, Visited, VisitFailed, evaluated, watch

__all__ = ["Driven", "Row", "drive", "driver"]

#: Seconds beyond warm-up and window where the warm-up lasts until those that do not read are behind: with a thousand
#: others that is four million deliveries.
STALLED_PATIENCE = 300.0


class Row(NamedTuple):
    """`subscribers` read; `stalled` further ones never do. `in_flight`: messages that not all that read have got."""

    subscribers: int
    in_flight: int
    stalled: int = 0

    @property
    def name(self) -> str:
        return f"{self.subscribers}x{self.in_flight}" + (f"+{self.stalled}" if self.stalled else "")


class Driven(NamedTuple):
    """`cut`: how many of the stalled subscribers the server disconnected."""

    visit: Visit
    cut: int = 0


def driver(peer: Peer, port: int, row: Row, *options: str) -> list[str]:
    """Its command. Raises `CannotCompile`."""
    command = [str(compiled(FANOUT_DRIVER)), peer.protocol, HOST, str(port)]
    command += ["--subscribers", str(row.subscribers), "--in-flight", str(row.in_flight)]
    return [*command, "--stalled", str(row.stalled), *options]


def drive(server: Visited, peer: Peer, row: Row, number: int, settings: Settings) -> Driven:
    """Visit `server`, in round `number`."""
    window = ["--seconds", str(settings.seconds), "--warmup", str(settings.warmup)]
    empty = Visit(row.name, peer.name, number)
    try:
        patience = STALLED_PATIENCE if row.stalled else PATIENCE
        told, cpu = watch(server, driver(peer, server.port, row, *window), settings, patience)
    except VisitFailed as error:
        return Driven(replace(empty, broken=str(error)))
    return Driven(evaluated(empty, told, cpu, int(told["deliveries"])), told["cut"])
