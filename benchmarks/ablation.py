"""How much of the throughput is left without each trick?

    python -m benchmarks ablation                         every trick on the loads it is for
    python -m benchmarks ablation --tricks batch,spin --rounds 3 --seconds 0.5
    python -m benchmarks ablation --tried                 what did not pay: the server with it put in

The server itself and the server without each of its tricks (`benchmarks.tricks`) are visited like
peers: interleaved, in random order, every reply checked. The result is the median of the ratios
within the rounds. For a trick that saves memory, what an idle connection takes is measured too.

A trick without which nothing is lost is named at the end: it should be taken out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmarks.arguments import at_least, duration, output, pause, save
from benchmarks.compiling import GENERATOR, CannotCompile, compiled
from benchmarks.crowd import CrowdFailed
from benchmarks.environment import environment
from benchmarks.loads import LOADS, Load
from benchmarks.memory import measure
from benchmarks.peers import Peer, chosen
from benchmarks.processes import CannotStart, cores, on_core, raise_descriptor_limit
from benchmarks.results import Ratio, Summary, summarize
from benchmarks.rounds import run
from benchmarks.stored import visits_of
from benchmarks.tricks import NOTHING, ORDINARY, TRICKS, TRIED, Trick
from benchmarks.visit import Settings, Visit

__all__ = ["Ablation", "main", "read", "table_rows"]

BASE = "ours"
#: More left than this without a trick: it brings nothing.
NOTHING_LOST = 0.99
SETTLE = 2.0


@dataclass
class Ablation:
    """What is left without each of `tricks`; with each, if `kind` is `tried`.

    `memory`: bytes of an idle connection, by trick taken out (and `ours`), with `connections` of them.
    """

    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    tricks: Mapping[str, str]
    visits: list[Visit] = field(default_factory=list)
    connections: int = 0
    memory: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    kind: str = "ablation"

    def summaries(self) -> dict[str, dict[str, Summary]]:
        """By trick, then by load."""
        found: dict[str, dict[str, Summary]] = {}
        for summary in summarize(self.visits, (BASE,)):
            found.setdefault(summary.peer, {})[summary.load] = summary
        return found

    def left(self) -> dict[str, dict[str, Ratio]]:
        """What is left of the throughput, by trick, then by load. A trick without a right reply has nothing here."""
        found = self.summaries()
        return {
            trick: {load: summary.ratios[BASE] for load, summary in found[trick].items() if BASE in summary.ratios}
            for trick in self.tricks
            if trick in found
        }

    def starved(self, trick: str, load: str) -> str:
        """The connections that the trick kept from starving; empty if none starved."""
        found = self.summaries()
        without, base = found[trick][load].starved, found[BASE][load].starved
        return f"{without} starved, else {base}" if without or base else ""

    def memory_told(self, trick: str) -> str:
        if trick not in self.memory or BASE not in self.memory:
            return ""
        return f"{self.memory[trick]:,.0f} bytes per idle connection, else {self.memory[BASE]:,.0f}"

    def bring_nothing(self) -> list[str]:
        """The tricks without which nothing measured was lost, for as much as these rounds can tell."""
        return [
            trick
            for trick, by_load in self.left().items()
            if by_load
            and all(ratio.median >= NOTHING_LOST for ratio in by_load.values())
            and not any(self.starved(trick, load) for load in by_load)
            and not self.memory.get(trick, 0.0) > self.memory.get(BASE, 0.0) / NOTHING_LOST
        ]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def read(found: Mapping[str, Any]) -> Ablation:
    """From what `json.loads` gave."""
    return Ablation(**{**found, "visits": visits_of(found)})


def main(argv: Sequence[str]) -> int:
    options = _options(argv)
    try:
        tricks = chosen(options.tricks, TRIED if options.tried else TRICKS, "trick")
        loads = chosen(options.loads, LOADS, "load")
        compiled(GENERATOR)
    except (ValueError, CannotCompile) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    for trick in tricks:
        if trick.missing:
            print(f"left out: {trick.missing}", file=sys.stderr)
    tricks = [trick for trick in tricks if not trick.missing]
    raise_descriptor_limit()
    server_core, generator_core = cores()
    settings = Settings(options.rounds, options.seconds, options.warmup, options.seed, server_core, generator_core)
    outcome = Ablation(environment(), asdict(settings), {trick.name: trick.what for trick in tricks})
    outcome.kind = "tried" if options.tried else "ablation"
    code = 0
    try:
        with on_core(generator_core):
            for visit in _visits(tricks, loads, settings):
                outcome.visits.append(visit)
                if visit.broken:
                    print(f"{visit.load}, {visit.peer}: {visit.broken}", file=sys.stderr)
                    code = 1
            savers = [trick.name for trick in tricks if trick.memory]
            if options.connections and savers:
                outcome.connections = options.connections
                _measure_memory([BASE, *savers], outcome, server_core)
    except KeyboardInterrupt:
        print("interrupted: what follows is a part", file=sys.stderr)
        outcome.interrupted = True
        code = 130
    except (CannotStart, CrowdFailed) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        code = 1
    print("\n".join(lines(outcome)))
    if options.json is not None:
        code = save(options.json, json.dumps(outcome.as_json(), indent=1) + "\n") or code
    return code


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ablation", description="What each trick brings.")
    add = parser.add_argument
    add("--tricks", metavar="NAMES", help=f"comma-separated (default: all): {', '.join(TRICKS)}")
    add("--loads", metavar="NAMES", help="comma-separated: only these of a trick's loads (default: all)")
    add("--tried", action="store_true", help=f"measure what did not pay instead: {', '.join(TRIED)}")
    add("--rounds", type=at_least(1), default=7, metavar="N", help="visits of each server per load (7)")
    add("--seconds", type=duration, default=1.0, metavar="S", help="measured per visit (1)")
    add("--warmup", type=pause, default=0.3, metavar="S", help="before each measurement (0.3)")
    add("--seed", type=int, default=1, metavar="N", help="of the random order (1)")
    add("--connections", type=at_least(0), default=10_000, metavar="N", help="idle ones, for memory; 0: leave it out")
    add("--json", type=output, metavar="FILE", help="write everything there")
    return parser.parse_args(argv)


def _server(name: str) -> Peer:
    removed = NOTHING if name == BASE else name
    return Peer(name, "this project's server", ("-m", "benchmarks.tricks", removed))


def _visits(tricks: Sequence[Trick], loads: Sequence[Load], settings: Settings) -> Iterator[Visit]:
    for load in loads:
        on_it = [_server(trick.name) for trick in tricks if load.name in trick.loads]
        if on_it:
            yield from run([load], [_server(BASE), *on_it], settings, _say)


def _measure_memory(names: Sequence[str], outcome: Ablation, core: int) -> None:
    for name in names:
        _say(f"memory: {outcome.connections:,} idle connections, {name}")
        peer = replace(_server(name), name=BASE)  # they all take the options that our own server does
        outcome.memory[name] = measure(peer, outcome.connections, SETTLE, core).idle


def lines(outcome: Ablation) -> list[str]:
    """For the terminal: a line per trick and load."""
    how = "with" if outcome.kind == "tried" else "without"
    told = ["", f"{how:<16}{'load':<14}{'left':>6}{'(min..max)':>15}{'by cpu':>8}"]
    summaries = outcome.summaries()
    for trick, by_load in outcome.left().items():
        for load, ratio in by_load.items():
            by_cpu = summaries[trick][load].cpu_ratios.get(BASE)
            spread = f"({ratio.low:.2f}..{ratio.high:.2f})"
            cpu = f"{by_cpu.median:>8.2f}" if by_cpu else f"{'-':>8}"
            told.append(f"{trick:<16}{load:<14}{ratio.median:>6.2f}{spread:>15}{cpu}  {outcome.starved(trick, load)}")
        if outcome.memory_told(trick):
            told.append(f"{trick:<16}{outcome.memory_told(trick)}")
    nothing = outcome.bring_nothing()
    if outcome.kind == "tried" or not nothing:
        return told
    return [*told, f"without these nothing was lost: {', '.join(nothing)}"]


def table_rows(outcome: Ablation) -> tuple[list[str], list[list[str]]]:
    """For the docs: head and rows, a row per trick."""
    head = ["trick", "what it is", *(f"`{load}`" for load in ORDINARY)]
    everywhere = outcome.kind == "ablation"
    rows = []
    for trick, by_load in outcome.left().items():
        cells = [_cell(by_load[load]) if load in by_load else "" for load in ORDINARY]
        elsewhere = [f"`{load}` {_cell(ratio)}" for load, ratio in by_load.items() if load not in ORDINARY]
        notes = [note for load in by_load if (note := outcome.starved(trick, load))]
        rest = "; ".join([*elsewhere, *notes, *filter(None, [outcome.memory_told(trick)])])
        rows.append([f"`{trick}`", outcome.tricks[trick], *cells, *([rest] if everywhere else [])])
    return head + ["elsewhere"] * everywhere, rows


def _cell(ratio: Ratio) -> str:
    return f"**{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})"


def _say(text: str) -> None:
    """One line that is written over, on a terminal; a line each elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
