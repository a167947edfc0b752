"""What came out of one visit of the generator to one server?

A visit is one load for one measured window. Throughput and latency come from the generator,
the server's processor time from the kernel, sampled beside it and interpolated to the window's
ends: neither start nor warm-up nor drain is counted.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.compiling import GENERATOR, compiled
from benchmarks.loads import Load
from benchmarks.processes import on_core

__all__ = [
    "GENERATOR_BUSY",
    "HOST",
    "PATIENCE",
    "Settings",
    "Visit",
    "VisitFailed",
    "Visited",
    "evaluated",
    "visit",
    "watch",
]

HOST = "127.0.0.1"
#: Above this part of its core the generator may be what limits the figure.
GENERATOR_BUSY = 0.9
#: Seconds between two looks at the server's processor time.
SAMPLE_EVERY = 0.02
#: Beyond warm-up, window and the generator's own drain (5 s) something hangs.
PATIENCE = 30.0


@dataclass(frozen=True)
class Visit:
    """One server, one load, one window.

    `cpu_us`: server microseconds per request. `broken`: why it counts for nothing.
    """

    load: str
    peer: str
    round: int
    rate: float = 0.0
    cpu_us: float = 0.0
    server_cpu: float = 0.0  # part of its core
    generator_cpu: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0
    starved: int = 0
    requests: int = 0
    broken: str = ""

    @property
    def generator_bound(self) -> bool:
        """The server had time to spare and the generator had none: a lower bound, not a figure."""
        return self.generator_cpu > GENERATOR_BUSY > self.server_cpu


@dataclass(frozen=True)
class Settings:
    """`seconds` measured per visit, after `warmup` seconds."""

    rounds: int
    seconds: float
    warmup: float
    seed: int
    server_core: int
    generator_core: int


class Visited(Protocol):
    """What is visited: one server process, or several on one port."""

    port: int

    @property
    def ended(self) -> bool: ...

    def said(self) -> str: ...

    def cpu_seconds(self) -> float: ...


class VisitFailed(Exception):
    """There is no figure; the text says why."""


def visit(server: Visited, load: Load, peer: str, round: int, requests: Path, settings: Settings) -> Visit:
    """Load `server` once."""
    command = [str(compiled(GENERATOR)), HOST, str(server.port), "--requests", str(requests)]
    command += ["--connections", str(load.connections), "--depth", str(load.depth)]
    command += ["--seconds", str(settings.seconds), "--warmup", str(settings.warmup)]
    if load.oneshot:
        command.append("--oneshot")
    try:
        told, cpu = watch(server, command, settings)
    except VisitFailed as error:
        return Visit(load.name, peer, round, broken=str(error))
    return evaluated(Visit(load.name, peer, round), told, cpu, int(told["requests"]))


def watch(
    server: Visited, command: Sequence[str], settings: Settings, patience: float = PATIENCE
) -> tuple[dict[str, Any], float]:
    """Run a program that loads `server`: what it told, and the server's processor time in its window, in seconds.

    Raises `VisitFailed`, also where the program takes `patience` seconds more than warm-up and window.
    """
    with on_core(settings.generator_core):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    samples = []
    until = time.monotonic() + settings.warmup + settings.seconds + patience
    try:
        while process.poll() is None and time.monotonic() < until:
            if not server.ended:
                samples.append((time.monotonic(), server.cpu_seconds()))
            time.sleep(SAMPLE_EVERY)
    finally:
        process.kill()
        said, complaint = process.communicate()
    if server.ended:
        raise VisitFailed(f"the server ended: {server.said().strip()[-300:]}")
    samples.append((time.monotonic(), server.cpu_seconds()))  # however seldom we got to look before
    try:
        told: dict[str, Any] = json.loads(said)
    except ValueError:
        raise VisitFailed(f"the generator failed: {complaint.strip()[-300:] or 'it hung'}") from None
    start, end = told["window"]
    return told, _at(samples, end) - _at(samples, start)


def evaluated(empty: Visit, told: dict[str, Any], cpu: float, count: int) -> Visit:
    """`empty` with its figures: `count` is what was asked for in the window, `cpu` the server's seconds in it."""
    start, end = told["window"]
    wrong = ", ".join(f"{number} {name}" for name, number in told["errors"].items() if number)
    return Visit(
        empty.load,
        empty.peer,
        empty.round,
        rate=told["rate"],
        cpu_us=cpu / count * 1e6 if count else 0.0,
        server_cpu=cpu / (end - start),
        generator_cpu=told["cpu_fraction"],
        p50_us=told["p50_us"],
        p99_us=told["p99_us"],
        max_us=told["max_us"],
        starved=told.get("starved", 0),
        requests=count,
        broken=wrong or ("" if count else "no reply in the window"),
    )


def _at(samples: Sequence[tuple[float, float]], when: float) -> float:
    """The processor time at `when`, on the line between the samples around it."""
    before = samples[0]
    for after in samples:
        if after[0] >= when:
            if after[0] == before[0]:
                return after[1]
            part = (when - before[0]) / (after[0] - before[0])
            return before[1] + part * (after[1] - before[1])
        before = after
    return before[1]
