"""How is a run's outcome told to a person at a terminal?"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.loads import LOADS
from benchmarks.results import Summary

__all__ = ["lines", "ranked"]

COLUMNS = (
    f"{'peer':<16}{'req/s':>10}{'x uvloop':>10}{'(min..max)':>15}{'by cpu':>8}{'x C':>7}{'(min..max)':>15}"
    f"{'by cpu':>8}{'cpu us':>9}{'p50 us':>10}{'p99 us':>10}{'max us':>11}{'starved':>9}"
)


def ranked(summaries: Iterable[Summary]) -> list[Summary]:
    """The loads in their order, and in each the fastest first."""
    found = list(summaries)
    order = list(dict.fromkeys(summary.load for summary in found))
    return sorted(found, key=lambda summary: (order.index(summary.load), -summary.rate))


def lines(summaries: Iterable[Summary]) -> list[str]:
    """A table per load, and below it what must be known to read it."""
    told: list[str] = []
    load = ""
    for summary in ranked(summaries):
        if summary.load != load:
            load = summary.load
            what = LOADS[load].what if load in LOADS else ""
            told += ["", f"{load}: {what}", COLUMNS]
        told.append(_line(summary))
        told += [f"{'':<16}  {note}" for note in _notes(summary)]
    return told


def _line(s: Summary) -> str:
    if not s.rounds:
        return f"{s.peer:<16}{'-':>10}"
    return (
        f"{s.peer:<16}{s.rate:>10,.0f}{_ratio(s, 'uvloop', 10)}{_ratio(s, 'c', 7)}"
        f"{s.cpu_us:>9.2f}{s.p50_us:>10,.0f}{s.p99_us:>10,.0f}{s.max_us:>11,.0f}{s.starved:>9}"
    )


def _ratio(s: Summary, base: str, width: int) -> str:
    """Of throughputs with its spread, then of processor time."""
    ratio, by_cpu = s.ratios.get(base), s.cpu_ratios.get(base)
    if ratio is None:
        return f"{'-':>{width}}{'':>15}{'':>8}"
    spread = f"({ratio.low:.2f}..{ratio.high:.2f})"
    return f"{ratio.median:>{width}.2f}{spread:>15}" + (f"{by_cpu.median:>8.2f}" if by_cpu else f"{'-':>8}")


def _notes(s: Summary) -> list[str]:
    notes = []
    if s.generator_bound:
        notes.append(
            f"the generator was the bottleneck (its core {s.generator_cpu:.0%} busy, the server's {s.server_cpu:.0%}): "
            "the server can do more"
        )
    return notes + [f"BROKEN: {reason}" for reason in s.broken]
