"""How long does the step from bytes to replies take, without a kernel around it?

    python -m benchmarks batch                       the server as it is
    python -m benchmarks batch --tricks one-scan,header-cache
    python -m benchmarks batch --tried --tricks orjson

`Dispatcher.serve` is given what one `recv` would give it: 1 or 16 requests, again and again.
Each figure is the shortest time of many, in nanoseconds per request. That is what the code costs
when nothing disturbs it, so it is measurable on a machine that is never quiet, where throughput
changes by the minute. With `--tricks` the same without each of them (with it, for `--tried`),
each in a process of its own, in turn. Only those show that are a matter of this step.

Not here: what all of that is worth to a whole server (`benchmarks.ablation`).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.arguments import at_least, duration
from benchmarks.peers import chosen
from benchmarks.processes import ROOT, cores, on_core
from benchmarks.requests import Variant, mixed, repeated, varied, with_ids
from benchmarks.tricks import NOTHING, TRICKS, TRIED
from libserver import Actions
from libserver.actions import Action
from libserver.dispatcher import Dispatcher
from libserver.replies import encode
from protocol import SERVER, Codec, Connection, Frame, Header, ProtocolError, Request

__all__ = ["main", "nanoseconds"]

REQUESTS: dict[str, Callable[[], list[Variant]]] = {
    "repeated": repeated,
    "mixed": mixed,
    "varied": varied,
    "ids": with_ids,
}
DEPTHS = (1, 16)
IN_ALL = 256  # requests in one pass
ENOUGH = 2**30


class _Asker:
    """A connection at rest that no request here makes anything else."""

    def __init__(self) -> None:
        self.codec = Codec(SERVER)
        self.connection: Connection | None = None

    def session(self) -> dict[str, Any]:
        return {}

    def own_connection(self) -> Connection:
        raise AssertionError("no request here is anything to remember")

    def failure(self, error: BaseException, asked: object) -> ProtocolError:
        if isinstance(error, ProtocolError):  # an action that there is not
            return error
        raise error

    def hand_over(self, action: Action, request: Request, deadline: float | None) -> Frame:
        raise AssertionError("no action here blocks")

    def reply(self, header: Header, outcome: object, asked: object, more: bool) -> Frame:
        return encode(None, self.codec, header, outcome, partial(self.failure, asked=asked))


def _raise(error: ProtocolError) -> None:
    raise error


def nanoseconds(requests: Sequence[bytes], depth: int, seconds: float, clock: Callable[[], float]) -> float:
    """The shortest time of a request among passes over all of them, `depth` in each read."""
    reads = [b"".join(requests[at : at + depth]) for at in range(0, len(requests), depth)]
    asker = _Asker()
    dispatcher = Dispatcher(asker.codec, Actions(), _raise, clock)

    shortest = float("inf")
    end = clock() + seconds
    while (began := clock()) < end:
        for read in reads:
            taken, replies, _ = dispatcher.serve(asker, read, ENOUGH, ENOUGH)
            assert taken == len(read)
            b"".join(replies)
        shortest = min(shortest, clock() - began)
    return shortest / len(requests) * 1e9


def _measure(trick: str, seconds: float) -> dict[str, float]:
    """In this process, without `trick` (or with it, if it was tried)."""
    if trick != NOTHING:
        (TRICKS | TRIED)[trick].remove(setattr)
    found = {}
    for name, make in REQUESTS.items():
        variants = make()
        requests = [variant.request for variant in variants] * (IN_ALL // len(variants))
        for depth in DEPTHS:
            found[f"{name} {depth}"] = nanoseconds(requests, depth, seconds, time.perf_counter)
    return found


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks batch", description="From bytes to replies.")
    add = parser.add_argument
    add("--tricks", metavar="NAMES", help="comma-separated: measure without each of these, too")
    add("--tried", action="store_true", help=f"they are of what did not pay: {', '.join(TRIED)}")
    add("--rounds", type=at_least(1), default=5, metavar="N", help="times each is measured (5)")
    add("--seconds", type=duration, default=0.3, metavar="S", help="for each figure, per round (0.3)")
    add("--only", metavar="NAME", help=argparse.SUPPRESS)  # this process measures one, and prints it as JSON
    options = parser.parse_args(argv)
    if options.only:
        print(json.dumps(_measure(options.only, options.seconds)))
        return 0
    names = [NOTHING]
    if options.tricks:
        try:
            names += [trick.name for trick in chosen(options.tricks, TRIED if options.tried else TRICKS, "trick")]
        except ValueError as error:
            parser.error(str(error))
    best: dict[str, dict[str, float]] = {}
    code = 0
    try:
        for number in range(options.rounds):
            for name in random.sample(names, len(names)):
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                found = _ask(name, options.seconds)
                before = best.setdefault(name, found)
                best[name] = {what: min(before[what], value) for what, value in found.items()}
    except KeyboardInterrupt:
        print("interrupted: what follows is a part", file=sys.stderr)
        code = 130
    except subprocess.CalledProcessError as error:
        print(f"benchmarks: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        code = 1
    if best:
        print("\n".join(_lines({name: best[name] for name in names if name in best})))
    return code


def _ask(name: str, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks", "batch", "--only", name, "--seconds", str(seconds)]
    with on_core(cores()[0]):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _lines(best: dict[str, dict[str, float]]) -> list[str]:
    columns = list(next(iter(best.values())))
    width = max(map(len, best)) + 2
    lines = ["nanoseconds per request, by requests and their number in one read"]
    lines.append(" " * width + "".join(f"{column:>13}" for column in columns))
    lines += [name.ljust(width) + "".join(f"{row[column]:>13,.0f}" for column in columns) for name, row in best.items()]
    return lines
