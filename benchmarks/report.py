"""How is a run's outcome told to a person at a terminal?

If the generator was the limit for a server under a load, the servers' processor time comes first: its
throughputs are the generator's.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.loads import LOADS
from benchmarks.results import BEFORE, Ratio, Summary

__all__ = ["lines", "ranked"]

#: What a column of ratios is headed by, for each base that a terminal has room for.
TITLES = {BEFORE: "x before", "uvloop": "x uvloop", "c": "x C"}


def ranked(summaries: Iterable[Summary]) -> list[Summary]:
    """The loads in their order, and in each the fastest first: by processor time where the generator was the limit."""
    found = list(summaries)
    order = list(dict.fromkeys(summary.load for summary in found))
    bound = bounded(found)
    return sorted(found, key=lambda s: (order.index(s.load), s.cpu_us if s.load in bound and s.rounds else -s.rate))


def bounded(summaries: Iterable[Summary]) -> set[str]:
    """The loads under which the generator was the limit for one of the servers."""
    return {summary.load for summary in summaries if summary.generator_bound}


def lines(summaries: Iterable[Summary]) -> list[str]:
    """A table per load, and below it what must be known to read it."""
    found = list(summaries)
    bases = [base for base in TITLES if any(base in summary.ratios for summary in found)]
    bound = bounded(found)
    told: list[str] = []
    load = ""
    for summary in ranked(found):
        by_cpu = summary.load in bound
        if summary.load != load:
            load = summary.load
            what = LOADS[load].what if load in LOADS else ""
            told += ["", f"{load}: {what}", _columns(bases, by_cpu)]
        told.append(_line(summary, bases, by_cpu))
        told += [f"{'':<16}  {note}" for note in _notes(summary)]
    return told


def _columns(bases: Iterable[str], by_cpu: bool) -> str:
    first, second = ("by cpu", "by rate") if by_cpu else ("", "by cpu")
    ratios = "".join(f"{f'{TITLES[base]} {first}'.strip():>18}{'(min..max)':>15}{second:>9}" for base in bases)
    rest = f"{'cpu us':>9}{'p50 us':>10}{'p99 us':>10}{'max us':>11}{'starved':>9}"
    return f"{'peer':<16}{'req/s':>10}{ratios}{rest}"


def _line(s: Summary, bases: Iterable[str], by_cpu: bool) -> str:
    if not s.rounds:
        return f"{s.peer:<16}{'-':>10}"
    ratios = "".join(_ratio(s, base, by_cpu) for base in bases)
    rest = f"{s.cpu_us:>9.2f}{s.p50_us:>10,.0f}{s.p99_us:>10,.0f}{s.max_us:>11,.0f}{s.starved:>9}"
    return f"{s.peer:<16}{s.rate:>10,.0f}{ratios}{rest}"


def _ratio(s: Summary, base: str, by_cpu: bool) -> str:
    """The ratio that says more, with its spread, then the other one."""
    by_both = s.ratios.get(base), s.cpu_ratios.get(base)
    first, second = reversed(by_both) if by_cpu else by_both
    digits = 3 if base == BEFORE else 2  # of a change one asks whether it costs a hundredth
    spread = f"({first.low:.2f}..{first.high:.2f})" if first else ""
    return f"{_median(first, digits):>18}{spread:>15}{_median(second, digits):>9}"


def _median(ratio: Ratio | None, digits: int) -> str:
    return f"{ratio.median:.{digits}f}" if ratio else "-"


def _notes(s: Summary) -> list[str]:
    notes = []
    if s.generator_bound:
        notes.append(
            f"the generator was the bottleneck (its core {s.generator_cpu:.0%} busy, the server's {s.server_cpu:.0%}): "
            "the server can do more"
        )
    return notes + [f"BROKEN: {reason}" for reason in s.broken]
