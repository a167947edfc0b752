"""Is run B worse than run A?

By how much throughput, p50 and p99 of the response time changed, each with its interval (`judge.bootstrap`), and what
speaks against believing it.

Rules:

* What makes a comparison doubtful is part of it: runs that did not take turns, loads that differ, failures,
  other machines.
* A run that is not valid, or was killed, is not to be judged: a generator's ceiling is equally high for every server,
  and would pass for "no regression".
* Pure: blocks and summaries in, a `Comparison` out.

Blocks: in a run that took turns (`engine.interleaved`) a visit, else an interval, together with what was
answered after it. An hour has no more of them than `MOST`: neighbours are put together.

Not here: the statistics (`judge.bootstrap`), words (`output.comparison`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from ..measure.histogram import Histogram
from ..measure.intervals import DRAINING, MEASURING, Interval
from .bootstrap import Block, Change, changes

__all__ = ["Comparison", "Side", "Slice", "blocks_of", "compare", "slice_of"]

#: Blocks per run: more make no interval narrower, only the draws slower.
MOST = 60

#: The options that decide what load was offered, with their words.
_LOAD = {
    "model": "model",
    "rate": "--rate",
    "requests": "--requests",
    "duration": "--duration",
    "warmup": "--warmup",
    "arrival": "--arrival",
    "stages": "--stage",
    "connections": "--connections",
    "pipeline": "--pipeline",
    "max_in_flight": "--max-in-flight",
    "on_overrun": "--on-overrun",
    "reconnect_every": "--reconnect-every",
    "action": "--action",
    "value": "--value",
    "mix": "--mix",
    "sizes": "--size",
    "data": "--data",
    "think": "--think",
    "verify": "--verify",
    "idle": "--idle",
    "hostile": "--hostile",
}
#: Of the rate asked for: an open run that offered less than the other has less to wait for.
_SAME_RATE = 0.01


# --- blocks --------------------------------------------------------------------------


class Slice(NamedTuple):
    """An interval, as far as a comparison looks at it."""

    phase: str
    seconds: float
    replies: int
    latency: Histogram


def slice_of(interval: Interval) -> Slice:
    return Slice(interval.phase, interval.seconds, interval.replies, interval.response)


def blocks_of(slices: Iterable[Slice], *, visits: bool) -> list[Block]:
    """A block per visit (all that was measured between two warm-ups), or per interval."""
    blocks: list[Block] = []
    begun = False  # within a visit
    for part in slices:
        if part.phase == MEASURING:
            if begun and (visits or part.seconds < blocks[-1].seconds / 2):  # a phase's end cuts an interval off
                blocks[-1] = _joined([blocks[-1], _block(part)])
            else:
                blocks.append(_block(part))
            begun = True
        elif part.phase == DRAINING and begun:  # latencies of the block's requests; their replies came too late for it
            blocks[-1] = _joined([blocks[-1], Block(0.0, 0, part.latency)])
        else:
            begun = False
    return blocks


def _block(part: Slice) -> Block:
    return Block(part.seconds, part.replies, part.latency)


def _joined(blocks: Sequence[Block]) -> Block:
    latency = Histogram()
    for block in blocks:
        latency.merge(block.latency)
    return Block(sum(block.seconds for block in blocks), sum(block.replies for block in blocks), latency)


def _at_most(blocks: Sequence[Block], most: int = MOST) -> list[Block]:
    """Neighbours put together, equally many each, but for a rest."""
    each = -(-len(blocks) // most) or 1
    return [_joined(blocks[first : first + each]) for first in range(0, len(blocks), each)]


def _pairs(a: Sequence[Block], b: Sequence[Block]) -> tuple[list[Block], list[Block]]:
    """The visits that both had; one that Ctrl-C cut to less than half is none."""
    whole = median(block.seconds for block in (*a, *b)) / 2 if a and b else 0.0
    both = [(x, y) for x, y in zip(a, b, strict=False) if min(x.seconds, y.seconds) >= whole]
    return [x for x, _ in both], [y for _, y in both]


# --- comparing -----------------------------------------------------------------------


class Side(NamedTuple):
    """One of the two runs. `summary` is None if it was killed before its end."""

    name: str
    summary: dict[str, Any] | None
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out. `doubts` are the reasons not to judge, `warnings` those to be careful."""

    a: str
    b: str
    interleaved: bool
    blocks: tuple[int, int]
    changes: list[Change] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def regressions(self) -> list[Change]:
        return [change for change in self.changes if change.worse]


def compare(a: Side, b: Side, *, interleaved: bool, seed: int = 0) -> Comparison:
    """Compare two runs. What speaks against it is in the result; nothing is raised."""
    blocks = _pairs(a.blocks, b.blocks) if interleaved else (a.blocks, b.blocks)
    first, second = (_at_most(of_one) for of_one in blocks)
    found: list[Change] = []
    doubts = [
        f"{letter} is not valid: {reason}" for letter, side in (("A", a), ("B", b)) for reason in _reasons(side.summary)
    ]
    warnings: list[str] = []
    if a.summary is not None and b.summary is not None:
        warnings += _warnings(a.summary, b.summary, len(a.blocks) if interleaved else 1)
    if not interleaved:
        warnings.append(
            "the runs did not take turns: what else the machine did meanwhile is in the change and in no interval; "
            "use load A --against B"
        )
    try:
        found = changes(first, second, random.Random(f"bootstrap {seed}"), paired=interleaved)
    except ValueError as error:
        doubts.append(f"{error}; measure longer")
    return Comparison(a.name, b.name, interleaved, (len(first), len(second)), found, doubts, warnings)


def _reasons(summary: dict[str, Any] | None) -> list[str]:
    if summary is None:
        return ["it was killed before its end"]
    verdict = summary["verdict"]
    return [] if verdict["valid"] else verdict["reasons"] or ["it says so"]


def _warnings(a: dict[str, Any], b: dict[str, Any], visits: int) -> Iterator[str]:
    ours, theirs = a["run"]["config"], b["run"]["config"]
    options = [(option, key) for key, option in _LOAD.items() if ours.get(key) != theirs.get(key)]
    # An interrupted run's schedule ended early, which is said below.
    cut = a["run"]["interrupted"] or b["run"]["interrupted"]
    if not options and not cut and a["run"].get("schedule_sha256") != b["run"].get("schedule_sha256"):
        if ours.get("seed") != theirs.get("seed"):
            options.append(("--seed", "seed"))  # it is in the schedule only where something is left to chance
        else:
            yield "the offered loads differ: schedule_sha256 (another --data file, or a run that was aborted?)"
    for option, key in options:
        yield f"the offered loads differ: {option} {_word(ours.get(key))} against {_word(theirs.get(key))}"
    offered = a["rate"]["offered"], b["rate"]["offered"]
    # A window's edges may fall on either side of a request, in each visit anew.
    by_chance = visits / a["run"]["duration_s"] if a["run"].get("duration_s") else 0.0
    same = _SAME_RATE * max(offered) + by_chance
    if a["rate"]["target"] and b["rate"]["target"] and abs(offered[0] - offered[1]) > same:
        yield f"the offered loads differ: {offered[0]:,.1f} requests/s against {offered[1]:,.1f} were sent"
    for letter, summary in (("A", a), ("B", b)):
        accounting = summary["accounting"]
        if accounting["failed"]:
            yield f"{accounting['failed']:,} of {accounting['sent']:,} requests to {letter} failed: not in p50 and p99"
        if summary["run"]["interrupted"]:
            yield f"{letter} was interrupted"
    if a["run"]["host"] != b["run"]["host"]:
        yield "the runs were made on different machines"
    if a["run"]["versions"] != b["run"]["versions"]:
        yield "the runs were made by different versions of the load tester or of Python"


def _word(value: object) -> str:
    return "none" if value in (None, [], ()) else str(value)


# --- telling -------------------------------------------------------------------------
