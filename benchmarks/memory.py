"""What does an idle connection cost a server in memory?

`python -m benchmarks memory`: thousands of kept-alive connections, each of which has had one request
served and then idles. What is counted is the growth of the server's resident memory (VmRSS). Then a
second request on each (does serving leave something behind?), all are closed (what stays?), and as
many open again (is it used anew?). One server at a time; the kernel's part is `scale`'s matter.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.arguments import at_least, output, pause, save
from benchmarks.crowd import Crowd, CrowdFailed
from benchmarks.environment import environment
from benchmarks.peers import PEERS, Peer, chosen
from benchmarks.processes import CannotStart, ServerProcess, cores, on_core, raise_descriptor_limit, resident_bytes

__all__ = ["Footprint", "main", "measure"]

HOST = "127.0.0.1"
DEFAULT_PEERS = "ours,uvloop,asyncio,c"
WARM_UP_REQUESTS = 100


@dataclass(frozen=True)
class Footprint:
    """Bytes. The first is the server's with nothing open; the others are growth over it, per connection."""

    empty: int
    idle: float
    asked_again: float
    closed: float
    second_wave: float


def measure(peer: Peer, connections: int, settle: float, core: int) -> Footprint:
    """Start, fill, ask again, empty and fill again one server. Raises `CannotStart` or `CrowdFailed`."""
    with ServerProcess(peer.command_line(HOST, 0, *peer.room_for(connections)), core) as server:
        with Crowd(server.port) as first:  # what every server does once: not the connections' cost
            first.open(1)
            for _ in range(WARM_UP_REQUESTS):
                first.ask_all()
        time.sleep(settle)
        empty = resident_bytes(server.pid)

        def growth() -> float:
            time.sleep(settle)
            return (resident_bytes(server.pid) - empty) / connections

        with Crowd(server.port) as crowd:
            crowd.open(connections)
            idle = growth()
            crowd.ask_all()
            asked_again = growth()
        closed = growth()
        with Crowd(server.port) as crowd:
            crowd.open(connections)
            second_wave = growth()
    return Footprint(empty, idle, asked_again, closed, second_wave)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks memory", description="Memory per idle connection.")
    add = parser.add_argument
    add("--peers", metavar="NAMES", default=DEFAULT_PEERS, help=f"comma-separated ({DEFAULT_PEERS})")
    add("--connections", type=at_least(1), default=10_000, metavar="N", help="idle at once (10000)")
    add("--settle", type=pause, default=3.0, metavar="S", help="seconds of idling before each reading (3)")
    add("--json", type=output, metavar="FILE", help="write everything there")
    options = parser.parse_args(argv)
    try:
        peers = chosen(options.peers, PEERS, "peer")
    except ValueError as error:
        parser.error(str(error))
    raise_descriptor_limit()
    server_core, client_core = cores()
    found: dict[str, Footprint] = {}
    code = 0
    print(f"{options.connections:,} idle connections, bytes each; the empty server in MiB")
    print(f"{'peer':<18}{'empty':>8}{'idle':>10}{'asked again':>13}{'closed':>10}{'second wave':>13}")
    for peer in peers:
        if missing := peer.missing():
            print(f"skipped: {peer.name}: {missing}", file=sys.stderr)
            continue
        try:
            with on_core(client_core):
                footprint = measure(peer, options.connections, options.settle, server_core)
        except KeyboardInterrupt:
            code = 130
            break
        except (CannotStart, CrowdFailed) as error:
            print(f"{peer.name}: {error}", file=sys.stderr)
            code = 1
            continue
        found[peer.name] = footprint
        print(
            f"{peer.name:<18}{footprint.empty / 2**20:>8.1f}{footprint.idle:>10,.0f}{footprint.asked_again:>13,.0f}"
            f"{footprint.closed:>10,.0f}{footprint.second_wave:>13,.0f}",
            flush=True,
        )
    if options.json is not None:
        everything = {
            "kind": "memory",
            "environment": environment(),
            "connections": options.connections,
            "settle": options.settle,
            "footprints": {name: asdict(footprint) for name, footprint in found.items()},
        }
        code = save(options.json, json.dumps(everything, indent=1) + "\n") or code
    return code
