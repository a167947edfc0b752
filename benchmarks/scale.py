"""How far does one process go, and what would it take to go further?

    python -m benchmarks scale [--json FILE]

Four questions, each in a file of its own: `accepting` (19,000 connections at a steady rate, each
served), `idling` (what a request costs beside thousands of idle connections), `sharing` (several
processes on one port), and from the figures `million`.

Not here: what an idle connection costs other servers (`benchmarks.memory`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.accepting import SLICES, Accepted, accept_many
from benchmarks.arguments import at_least, counts, duration, output, save
from benchmarks.compiling import GENERATOR, CannotCompile, compiled
from benchmarks.crowd import CrowdFailed
from benchmarks.environment import environment
from benchmarks.idling import Crowded, cost_of_idling
from benchmarks.kernel import object_sizes
from benchmarks.million import million
from benchmarks.peers import PEERS
from benchmarks.processes import CannotStart, cores, on_core, raise_descriptor_limit
from benchmarks.sharing import DEALT, Shared, share_port
from benchmarks.visit import Settings

__all__ = ["main"]

Rows = list[list[str]]


def main(argv: Sequence[str]) -> int:
    options = _options(argv)
    limit = raise_descriptor_limit()
    connections = min(options.connections, limit - 200)  # both ends need one each, and some to spare
    if connections < options.connections:
        print(f"the descriptor limit of {limit} allows {connections} connections only", file=sys.stderr)
    server_core, generator_core = cores()
    settings = Settings(options.rounds, options.seconds, 0.2, 1, server_core, generator_core)
    levels = [level for level in options.idle if level <= connections]
    ours = PEERS["ours"]
    found: dict[str, Any] = {}
    tables: dict[str, Rows] = {}
    broken: list[str] = []
    code = 0

    def part(name: str, measure: Callable[[], tuple[Any, Rows]]) -> None:
        found[name], tables[name] = measure()
        _print(name, tables[name])

    def accepting() -> tuple[Any, Rows]:
        accepted = accept_many(ours, connections, options.rate, server_core, _say)
        tables["million"] = _million_rows(accepted, limit)
        return asdict(accepted), _accepted_rows(accepted)

    def idling() -> tuple[Any, Rows]:
        results = cost_of_idling(ours, levels, settings, _say)
        broken.extend(reason for one in results for reason in one.broken)
        return [asdict(one) for one in results], _idle_rows(results)

    def sharing() -> tuple[Any, Rows]:
        results = [share_port(count, settings, _say) for count in options.processes]
        broken.extend(one.broken for one in results if one.broken)
        return [asdict(one) for one in results], _shared_rows(results)

    try:
        compiled(GENERATOR)
        with on_core(generator_core):
            part("accepting", accepting)
            part("idling", idling)
        part("sharing", sharing)  # outside: its servers may have every core but the generator's
        _print("million", tables["million"])
    except KeyboardInterrupt:
        code = 130
    except (CannotCompile, CannotStart, CrowdFailed) as error:
        broken.append(str(error))
    for reason in broken:
        print(f"benchmarks: {reason}", file=sys.stderr)
    if broken and not code:
        code = 1
    if options.json is not None:
        everything = {"kind": "scale", "environment": environment(), "measured": found, "tables": tables}
        code = save(options.json, json.dumps(everything, indent=1) + "\n") or code
    return code


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description="How far one process goes.")
    add = parser.add_argument
    add("--connections", type=at_least(SLICES), default=19_000, metavar="N", help="accepted and kept open (19000)")
    add("--rate", type=duration, default=3000, metavar="R", help="of them a second (3000)")
    add("--idle", type=counts(0), default=[0, 1000, 5000, 10_000, 15_000], metavar="N,N...", help="(0,1000,...,15000)")
    add("--processes", type=counts(1), default=[1, 2, 4], metavar="N,N...", help="on one port (1,2,4)")
    add("--rounds", type=at_least(1), default=5, metavar="N", help="visits per number of idle connections (5)")
    add("--seconds", type=duration, default=0.5, metavar="S", help="per visit (0.5)")
    add("--json", type=output, metavar="FILE", help="write everything there")
    return parser.parse_args(argv)


# --- tables --------------------------------------------------------------------------


def _accepted_rows(accepted: Accepted) -> Rows:
    rows = [["open", "CPU us per connection", "median us to the reply", "slowest us"]]
    rows += [
        [f"{s.connections:,}", f"{s.cpu_us:.0f}", f"{s.median_us:,.0f}", f"{s.slowest_us:,.0f}"]
        for s in accepted.slices
    ]
    cpu = sum(one.cpu_us for one in accepted.slices) / len(accepted.slices)
    middle, slowest = median(s.median_us for s in accepted.slices), max(s.slowest_us for s in accepted.slices)
    rows.append([f"all, at {accepted.rate:,.0f} a second", f"{cpu:.0f}", f"{middle:,.0f}", f"{slowest:,.0f}"])
    return rows


def _idle_rows(results: Sequence[Crowded]) -> Rows:
    rows = [["idle connections", "CPU us per request", "x without them", "p99 us"]]
    for one in results:
        spread = f"{one.ratio.median:.2f} ({one.ratio.low:.2f} to {one.ratio.high:.2f})"
        rows.append([f"{one.idle:,}", f"{one.cpu_us:.2f}", spread, f"{one.p99_us:,.0f}"])
    return rows


def _shared_rows(results: Sequence[Shared]) -> Rows:
    rows = [["processes", "cores", "requests/s", "CPU us per request", f"connections each, of {DEALT:,}"]]
    for one in results:
        dealt = f"{one.fewest:,} to {one.most:,}" + (f" BROKEN: {one.broken}" if one.broken else "")
        rows.append([str(one.processes), str(one.cores), f"{one.rate:,.0f}", f"{one.cpu_us:.2f}", dealt])
    return rows


def _million_rows(accepted: Accepted, limit: int) -> Rows:
    """The kernel's part: the sizes of its objects where it tells, else half of what both ends grew by."""
    sizes = object_sizes()
    per_end = float(sum(sizes.values())) if sizes else accepted.kernel_bytes / 2
    how = " + ".join(f"{name} {size}" for name, size in sizes.items()) or "half of both ends' growth"
    cpu = sum(one.cpu_us for one in accepted.slices) / len(accepted.slices)
    whole = million(accepted.resident_bytes, per_end, 1e6 / cpu, limit)
    return [
        ["a million connections", "each", "all"],
        ["Python (resident memory)", f"{accepted.resident_bytes:,.0f} bytes", f"{whole.python_bytes / 2**20:,.0f} MiB"],
        [f"kernel, the server's end ({how})", f"{per_end:,.0f} bytes", f"{whole.kernel_bytes / 2**20:,.0f} MiB"],
        ["kernel, both ends as measured", f"{accepted.kernel_bytes:,.0f} bytes", "-"],
        ["accepting and serving once, of one core", f"{cpu:.0f} us", f"{whole.accept_seconds:,.0f} s"],
        [f"processes at {limit:,} descriptors each", "1 descriptor", f"{whole.processes:,}"],
        ["client addresses at 28,232 ports each", "1 port", f"{whole.client_addresses:,}"],
    ]


def _print(name: str, rows: Rows) -> None:
    _say("")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{name}")
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells), flush=True)


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
