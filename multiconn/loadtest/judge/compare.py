"""Is run B worse than run A?

    app_client.py compare A B           two directories that `load -o DIR` wrote

Reads both runs' blocks and says by how much throughput, p50 and p99 of the response time changed,
each with its interval (`judge.bootstrap`).

Rules:

* What makes a comparison doubtful is said before it: runs that did not take turns, loads that
  differ, failures, other machines.
* A run that is not valid, or was killed, is compared only with `--force`: a generator's ceiling
  is equally high for every server, and would pass for "no regression".
* Exit codes: 0 no significant regression, 99 one, 5 not to be judged (not valid, too few blocks),
  2 no runs there.

Blocks: in a run that took turns (`engine.interleaved`) a visit, else an interval, together with what was
answered after it. An hour has no more of them than `MOST`: neighbours are put together.

Not here: the statistics (`judge.bootstrap`), making the runs (`engine.runner`).
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from multiconn.commands import UsageError
from multiconn.commands.output import remark
from protocol.printable import printable, printable_json

from ..measure import hdr
from ..measure.histogram import Histogram
from ..measure.intervals import DRAINING, MEASURING, Interval
from ..outcome import COMPLETED, INVALID, THRESHOLD_FAILED
from ..output.files import SavedRun, Told, read_run
from ..output.report import time_text
from .bootstrap import CONFIDENCE, MARGIN, METRICS, Block, Change, changes

__all__ = [
    "Comparison",
    "Side",
    "Slice",
    "add_arguments",
    "blocks_of",
    "compare",
    "compare_saved",
    "run",
    "said",
    "slice_of",
    "to_object",
]

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


def _slices(saved: SavedRun) -> Iterator[Slice]:
    for line in saved.intervals:
        try:
            latency = hdr.decode(line["latency_s"]["response"]["hdr"])
            yield Slice(line["phase"], line["seconds"], line["counts"]["replies"], latency)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{saved.directory}: an interval of its time series lacks {error}") from None


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


@dataclass(slots=True)
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

    def exit_code(self, *, force: bool = False) -> int:
        if not self.changes or (self.doubts and not force):
            return INVALID
        return THRESHOLD_FAILED if self.regressions else COMPLETED


def compare(a: Side, b: Side, *, interleaved: bool, seed: int = 0) -> Comparison:
    """Compare two runs. What speaks against it is in the result; nothing is raised."""
    blocks = _pairs(a.blocks, b.blocks) if interleaved else (a.blocks, b.blocks)
    first, second = (_at_most(of_one) for of_one in blocks)
    made = Comparison(a.name, b.name, interleaved, (len(first), len(second)))
    for letter, side in (("A", a), ("B", b)):
        made.doubts += [f"{letter} is not valid: {reason}" for reason in _reasons(side.summary)]
    if a.summary is not None and b.summary is not None:
        made.warnings += _warnings(a.summary, b.summary, len(a.blocks) if interleaved else 1)
    if not interleaved:
        made.warnings.append(
            "the runs did not take turns: what else the machine did meanwhile is in the change and in no interval; "
            "use load A --against B"
        )
    try:
        made.changes = changes(first, second, random.Random(f"bootstrap {seed}"), paired=interleaved)
    except ValueError as error:
        made.doubts.append(f"{error}; measure longer")
    return made


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


def to_object(comparison: Comparison) -> dict[str, Any]:
    """For `--json` and `comparison.json`: shares, seconds, per second."""
    return {
        "schema": "appload-comparison/1",
        "a": comparison.a,
        "b": comparison.b,
        "interleaved": comparison.interleaved,
        "blocks": list(comparison.blocks),
        "confidence": CONFIDENCE,
        "margin": MARGIN,
        "changes": {
            ("throughput_per_s" if change.metric == "throughput" else f"response_{change.metric}_s"): {
                "a": change.a,
                "b": change.b,
                "change": change.change,
                "low": change.low,
                "high": change.high,
                "worse": change.worse,
                "better": change.better,
            }
            for change in comparison.changes
        },
        "regression": bool(comparison.regressions) if comparison.changes else None,
        "doubts": comparison.doubts,
        "warnings": comparison.warnings,
    }


def said(comparison: Comparison) -> str:
    """For people, without a final line break."""
    return "\n".join(map(printable, _lines(comparison)))


def _lines(comparison: Comparison) -> Iterator[str]:
    few, many = sorted(comparison.blocks)
    how = f"{few} pairs of blocks, in turns" if comparison.interleaved else f"{few} to {many} blocks each"
    yield f"compare: A = {comparison.a}, B = {comparison.b} ({how if few != many else how.replace(f'{few} to ', '')})"
    if comparison.changes:
        yield ""
        yield f"  {'':<12}{'A':>12}{'B':>12}{'change':>10}    {CONFIDENCE:.0%} interval"
        yield from (_line(change) for change in comparison.changes)
        yield ""
    yield f"  {'verdict':<12}{_verdict(comparison)}"
    yield from (f"  {'':<12}- {doubt}" for doubt in comparison.doubts)
    yield from (f"  {'':<12}- careful: {warning}" for warning in comparison.warnings)


def _line(change: Change) -> str:
    if change.metric == "throughput":
        a, b = (f"{value:,.0f}/s" if value >= 100 else f"{value:.3g}/s" for value in (change.a, change.b))
    else:
        a, b = time_text(change.a), time_text(change.b)
    words = "WORSE" if change.worse else "better" if change.better else ""
    interval = f"{_percent(change.low)} to {_percent(change.high)}"
    return f"  {change.metric:<12}{a:>12}{b:>12}{_percent(change.change):>10}    {interval:<22}{words}".rstrip()


def _verdict(comparison: Comparison) -> str:
    if not comparison.changes:
        return "none: this can't be judged"
    if comparison.regressions:
        verdict = "B is worse than A: " + ", ".join(f"{c.metric} {_percent(c.change)}" for c in comparison.regressions)
    else:
        widest = max(max(-c.low if METRICS[c.metric] > 0 else c.high, 0.0) for c in comparison.changes)
        verdict = f"no significant regression (one of more than {max(widest, MARGIN):.1%} would have shown)"
    return f"NOT VALID; {verdict}" if comparison.doubts else verdict


def _percent(share: float) -> str:
    return f"{share:+.1%}"


# --- the command ---------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `compare`."""
    parser.epilog = (
        "Exit codes: 0 no significant regression, 99 one, 5 not to be judged (not valid, too few blocks),\n"
        "2 usage, or no runs there."
    )
    parser.add_argument("a", metavar="A", help="directory of the run to compare with (load -o)")
    parser.add_argument("b", metavar="B", help="directory of the run to judge")
    parser.add_argument("--force", action="store_true", help="judge runs that are not valid, too")
    parser.add_argument("--json", action="store_true", help="the comparison as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do what the options say; the exit code."""
    a, b = Path(args.a), Path(args.b)
    if a.resolve() == b.resolve():
        raise UsageError(f"{a} and {b} are the same run: name two")
    try:
        comparison = compare_saved(a, b, lambda words: remark(f"app_client.py compare: {words}"))
    except (KeyError, TypeError) as error:
        raise UsageError(f"one of them is no whole run ({error}); name directories that load -o wrote") from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{error}; name directories that load -o wrote") from None
    if args.json:
        print(printable_json(to_object(comparison)), flush=True)
    else:
        print(said(comparison), flush=True)
    code = comparison.exit_code(force=args.force)
    if code == INVALID and comparison.changes:
        print("app_client.py compare: not judged; --force does it all the same", file=sys.stderr, flush=True)
    return code


def compare_saved(a: Path, b: Path, told: Told = lambda words: None) -> Comparison:
    """Compare two directories; what is not whole in them is `told`.

    Raises `ValueError` or `OSError` if one is no run.
    """
    runs = read_run(a, told), read_run(b, told)
    marks = [(saved.summary or {}).get("run", {}).get("turns") for saved in runs]
    interleaved = None not in marks and marks[0]["pair"] == marks[1]["pair"] and marks[0]["side"] != marks[1]["side"]
    sides = [
        Side(_name(saved), saved.summary, blocks_of(_slices(saved), visits=mark is not None))
        for saved, mark in zip(runs, marks, strict=True)
    ]
    seed = (runs[0].summary or {}).get("run", {}).get("seed", 0)  # the draws of the comparison made at once
    return compare(sides[0], sides[1], interleaved=interleaved, seed=seed)


def _name(saved: SavedRun) -> str:
    return str(saved.directory) if saved.summary is None else f"{saved.directory} ({saved.summary['run']['name']})"
