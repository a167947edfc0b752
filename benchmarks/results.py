"""What do the visits of a run say?

Pure arithmetic. A ratio is taken within a round, between neighbours in time, and the median of
the rounds' ratios is the result, with the smallest and the largest beside it: the median of the
figures divided by another median would mix minutes that saw different machines.

Beside the ratio of throughputs stands that of processor time per request. On a quiet machine they
agree, since a loaded server fills its core; where others use the cores too, the second says more.

A broken visit counts for nothing, and its round has no ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.visit import Visit

__all__ = ["BASES", "BEFORE", "Ratio", "Summary", "summarize"]

#: The name of the peer that is this project at another commit (`benchmarks.revision`).
BEFORE = "before"

#: What is compared with: ours before a change, what Python has, the limit, the same protocol on other loops.
BASES = (BEFORE, "uvloop", "c", "message-uvloop", "together-uvloop", "message-asyncio")


@dataclass(frozen=True)
class Ratio:
    """Above 1: better than what it is compared with. Over `rounds` rounds."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Summary:
    """One server under one load. Medians over the rounds, but `max_us` and `starved` are the worst of all."""

    load: str
    peer: str
    rounds: int
    rate: float
    cpu_us: float
    p50_us: float
    p99_us: float
    max_us: float
    median_max_us: float  # of the slowest replies of the rounds
    starved: int
    server_cpu: float
    generator_cpu: float
    generator_bound: bool  # in most rounds
    broken: tuple[str, ...]
    ratios: dict[str, Ratio]  # of throughputs, by base
    cpu_ratios: dict[str, Ratio]  # of requests per second of the server's processor time, by base
    p99_ratios: dict[str, Ratio]  # of the 99th percentiles, by base: below 1 is better

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def summarize(visits: Iterable[Visit], bases: Sequence[str] = BASES) -> list[Summary]:
    """One summary per load and peer, in the order in which they first appear, with ratios to the `bases`."""
    groups: dict[str, dict[str, list[Visit]]] = {}
    for visit in visits:
        groups.setdefault(visit.load, {}).setdefault(visit.peer, []).append(visit)
    return [_summary(own, peers, bases) for peers in groups.values() for own in peers.values()]


def _summary(own: Sequence[Visit], peers: dict[str, list[Visit]], bases: Sequence[str]) -> Summary:
    right = [visit for visit in own if not visit.broken]
    return Summary(
        load=own[0].load,
        peer=own[0].peer,
        rounds=len(right),
        rate=_median(visit.rate for visit in right),
        cpu_us=_median(visit.cpu_us for visit in right),
        p50_us=_median(visit.p50_us for visit in right),
        p99_us=_median(visit.p99_us for visit in right),
        max_us=max((visit.max_us for visit in right), default=0.0),
        median_max_us=_median(visit.max_us for visit in right),
        starved=max((visit.starved for visit in right), default=0),
        server_cpu=_median(visit.server_cpu for visit in right),
        generator_cpu=_median(visit.generator_cpu for visit in right),
        generator_bound=2 * sum(visit.generator_bound for visit in right) > len(right),
        broken=tuple(sorted({visit.broken for visit in own if visit.broken})),
        ratios=_ratios(right, peers, bases, lambda visit: visit.rate),
        cpu_ratios=_ratios(right, peers, bases, lambda visit: 1 / visit.cpu_us if visit.cpu_us else 0.0),
        p99_ratios=_ratios(right, peers, bases, lambda visit: visit.p99_us),
    )


def _ratios(
    own: Sequence[Visit], peers: dict[str, list[Visit]], bases: Sequence[str], figure: Callable[[Visit], float]
) -> dict[str, Ratio]:
    """By base. A base without a figure in a round has no ratio there."""
    found = {}
    for base in bases:
        figures = {visit.round: figure(visit) for visit in peers.get(base, []) if not visit.broken}
        ratios = [figure(visit) / figures[visit.round] for visit in own if figures.get(visit.round)]
        if ratios:
            found[base] = Ratio(median(ratios), min(ratios), max(ratios), len(ratios))
    return found


def _median(figures: Iterable[float]) -> float:
    found = list(figures)
    return median(found) if found else 0.0
