"""How fast is our load tester beside a generator in C?

    python -m benchmarks generator                        64 connections at depth 1 and 16
    python -m benchmarks generator --rounds 3 --seconds 0.5 --server c

`app_client.py load` and the C generator visit the same server in turn, on the same core, with the
same request. Each of our visits is divided by the C generator's of the same round; the figure is the median
of those. Both verify every reply. A generator that reaches a part r of the other's rate can measure
servers up to that rate; above it, it says that it was the limit itself (`judge.verdict`).

With `--server c` the server is so fast that both generators are at their ceilings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import at_least, duration, pause
from benchmarks.compiling import GENERATOR, CannotCompile, compiled
from benchmarks.environment import environment
from benchmarks.loads import LOADS, Load
from benchmarks.peers import PEERS
from benchmarks.processes import ROOT, CannotStart, ServerProcess, cores, on_core, raise_descriptor_limit
from benchmarks.requests import pack
from benchmarks.visit import HOST, Settings, visit

__all__ = ["main", "ours"]

CLIENT = ROOT / "app_client.py"


class OursFailed(Exception):
    """Our load tester did not end well; the text is what it said."""


def ours(port: int, load: Load, settings: Settings) -> dict[str, float]:
    """One visit of our load tester: replies per second, and its share of a core."""
    command = [sys.executable, str(CLIENT), "load", f"{HOST}:{port}", "--json", "--ui", "none"]
    command += ["-c", str(load.connections), "-p", str(load.depth), "--value", "morpheus"]
    command += ["-d", f"{settings.seconds}s", "--warmup", f"{settings.warmup}s"]
    with on_core(settings.generator_core):
        done = subprocess.run(command, capture_output=True, text=True, timeout=settings.seconds + 60, check=False)
    if done.returncode:
        raise OursFailed(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    if told["accounting"]["failed"]:
        raise OursFailed(f"{told['accounting']['failed']} replies were not right: {told['errors']}")
    return {"rate": told["rate"]["achieved"], "cpu": told["generator"]["cpu_max"]}


def compare(load: Load, server: str, settings: Settings) -> list[tuple[float, float]]:
    """Rates of our generator and of the C one, round by round."""
    rates = []
    with tempfile.TemporaryDirectory() as directory:
        requests = Path(directory) / "requests"
        requests.write_bytes(pack(load.variants()))
        for number in range(settings.rounds):
            with ServerProcess(PEERS[server].command_line(HOST, 0), settings.server_core) as running:
                theirs = visit(running, load, server, number, requests, settings)
                if theirs.broken:
                    raise OursFailed(theirs.broken)
                mine = ours(running.port, load, settings)
            print(
                f"{load.name} round {number + 1}: ours {mine['rate']:,.0f}/s at {mine['cpu']:.0%} of a core, "
                f"C {theirs.rate:,.0f}/s, ratio {mine['rate'] / theirs.rate:.2f}",
                file=sys.stderr,
                flush=True,
            )
            rates.append((mine["rate"], theirs.rate))
    return rates


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks generator", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=at_least(1), default=5, metavar="N", help="visits of each per load (5)")
    parser.add_argument("--seconds", type=duration, default=2.0, metavar="S", help="measured per visit (2)")
    parser.add_argument("--warmup", type=pause, default=0.5, metavar="S", help="before each measurement (0.5)")
    parser.add_argument("--server", choices=("ours", "c"), default="ours", help="the server to load (ours)")
    options = parser.parse_args(argv)
    try:
        compiled(GENERATOR)
    except CannotCompile as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    raise_descriptor_limit()
    settings = Settings(options.rounds, options.seconds, options.warmup, 1, *cores())
    told = [f"{key}: {value}" for key, value in environment().items() if not isinstance(value, (dict, list))]
    print("; ".join(told), file=sys.stderr)
    try:
        for name in ("64x1", "64x16"):
            rates = compare(LOADS[name], options.server, settings)
            ratios = [mine / theirs for mine, theirs in rates]
            print(
                f"{name}: {statistics.median(ratios):.2f} of the C generator's rate "
                f"({min(ratios):.2f} to {max(ratios):.2f}; median {statistics.median(r for r, _ in rates):,.0f} "
                f"of {statistics.median(r for _, r in rates):,.0f} replies/s)"
            )
    except (OursFailed, CannotStart) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
