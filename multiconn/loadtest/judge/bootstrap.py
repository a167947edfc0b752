"""Is one server slower than another, or was it chance?

Two runs are cut into blocks, each with its seconds, its replies and its whole histogram. A
*block bootstrap* draws as many blocks as there are, with replacement, some thousand times, and
asks each time for the ratio of throughput and of percentiles: how much the ratios vary says how far
the measured ones may be from the truth. Blocks and not requests are drawn, because requests that
follow each other suffer the same garbage collection and the same neighbour; single ones would
claim a precision that is not there.

Rules:

* Interleaved blocks stay in pairs, the kth of one server with the kth of the other: what
  disturbed the machine for a second disturbed both, and goes out of their ratio.
* The three intervals hold *together* with 95 % confidence: each leaves out a third of 5 %
  (Bonferroni), so that a reader may look at all of them, and what is printed is what is judged.
* With few blocks the bootstrap's intervals are too narrow, as the normal distribution's are beside
  Student's. Their tails are moved out by the same amount (Tim Hesterberg, "What Teachers Should Know
  About the Bootstrap", 2015: the expanded percentile interval). Below `FEWEST` blocks there is
  none: the interval could not reach beyond the extremes of a handful.
* A percentile's interval is also as wide as what the blocks one by one leave open: the interval of the median of the
  pairs' ratios (the sign test's; that of Mann, Whitney, Hodges and Lehmann for blocks without pairs). A p99 over all
  is made by the slowest hundredth, and one disturbance in one block can be most of it; drawing blocks doesn't see
  that well, because no draw has fewer than the blocks that there are. A server that is slower is so in most blocks.
* A regression is *significant* if an interval lies wholly beyond `MARGIN` on the bad side. Why
  not beyond zero: two processes of the very same program differ by a per cent or so for their
  life (where memory lies, which connection hashes where; Mytkowicz et al., "Producing Wrong Data
  Without Doing Anything Obviously Wrong!", 2009). An exact enough test of "no difference at all" finds
  that one in every run, and no change to the server would mend it.

So equal servers are called different in fewer than 2.5 % of comparisons: all three bad sides
together, were the true change the whole margin.

No clock, no files; chance is passed in. Not here: where blocks come from (`judge.compare`).
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import mul
from statistics import NormalDist
from typing import NamedTuple

from ..measure.histogram import Histogram, bounds_of

__all__ = ["CONFIDENCE", "FEWEST", "MARGIN", "METRICS", "Block", "Change", "changes"]

#: How sure the intervals are, all together.
CONFIDENCE = 0.95
#: The change that means nothing, as a share.
MARGIN = 0.02
#: Blocks per server: all of eight lie on one side of the true median in one of 256 cases.
FEWEST = 8
#: Draws: a fraction of a second. Of ten blocks a tail is a thousandth: four draws lie in it, of twenty fourteen.
DRAWS = 4_000

#: What is compared, and its good direction.
METRICS = {"throughput": 1, "p50": -1, "p99": -1}
_PERCENTS = {"p50": 50, "p99": 99}
#: How often the truth may lie on one side of one interval.
_OUTSIDE = (1 - CONFIDENCE) / 2 / len(METRICS)

_NORMAL = NormalDist()


class Block(NamedTuple):
    """A stretch of a run: its seconds, the replies within them, the latencies of its requests."""

    seconds: float
    replies: int
    latency: Histogram


class Change(NamedTuple):
    """What became of one metric: `a` and `b` as measured (per second, or seconds), changes as shares.

    `change` is b / a - 1, `low` and `high` its interval.
    """

    metric: str
    a: float
    b: float
    change: float
    low: float
    high: float
    margin: float

    @property
    def worse(self) -> bool:
        """A significant regression."""
        return self.high < -self.margin if METRICS[self.metric] > 0 else self.low > self.margin

    @property
    def better(self) -> bool:
        return self.low > self.margin if METRICS[self.metric] > 0 else self.high < -self.margin


def changes(
    a: Sequence[Block],
    b: Sequence[Block],
    chance: random.Random,
    *,
    paired: bool,
    margin: float = MARGIN,
    draws: int = DRAWS,
) -> list[Change]:
    """How b differs from a, one `Change` per metric.

    Raises `ValueError` if there are too few blocks, blocks without pairs, or too few replies.
    """
    if min(len(a), len(b)) < FEWEST:
        raise ValueError(f"{min(len(a), len(b))} blocks are too few: {FEWEST} or more of each tell chance from change")
    if paired and len(a) != len(b):
        raise ValueError(f"{len(a)} blocks have no pairs in {len(b)}")
    sides = _Side(a), _Side(b)
    drawn: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for _ in range(draws):
        weights = _draw(len(a), chance)
        others = weights if paired else _draw(len(b), chance)
        for metric, before, after in zip(METRICS, sides[0].measure(weights), sides[1].measure(others), strict=True):
            if before > 0:
                drawn[metric].append(after / before - 1)
    made = []
    whole = ([1] * len(a), [1] * len(b))
    for metric, before, after in zip(METRICS, *(s.measure(w) for s, w in zip(sides, whole, strict=True)), strict=True):
        if not before or not after or len(drawn[metric]) < draws / 2:
            raise ValueError(f"there are too few replies to compare their {metric}")
        change = after / before - 1
        seen = [change, *_interval(sorted(drawn[metric]), tail(min(len(a), len(b))))]
        if metric in _PERCENTS:
            seen += _one_by_one(*(side.percentiles(_PERCENTS[metric]) for side in sides), paired=paired)
        made.append(Change(metric, before, after, change, min(seen), max(seen), margin))
    return made


def _one_by_one(a: Sequence[float], b: Sequence[float], *, paired: bool) -> tuple[float, float]:
    """Between which changes the typical one of single blocks lies."""
    if paired:
        ratios = sorted(after / before for before, after in zip(a, b, strict=True) if before > 0)
        out = -1  # so many at each end may be left out, one more may not
        while _below_half(out + 1, len(ratios)) <= _OUTSIDE:
            out += 1
    else:
        ratios = sorted(after / before for before in a if before > 0 for after in b)
        count, other = len(ratios) / len(b), len(b)
        spread = math.sqrt(count * other * (count + other + 1) / 12)
        out = max(0, int(count * other / 2 + _NORMAL.inv_cdf(_OUTSIDE) * spread))
    out = max(0, out)
    return (ratios[out] - 1, ratios[-1 - out] - 1) if ratios else (-1.0, math.inf)


def _below_half(count: int, tosses: int) -> float:
    """How likely `count` heads or fewer are in so many tosses of a coin."""
    return sum(math.comb(tosses, heads) for heads in range(count + 1)) / float(1 << tosses)


def tail(blocks: int) -> float:
    """The share of draws that is left out on each side, given so many blocks."""
    normal = _student(1 - _OUTSIDE, blocks - 1) * math.sqrt(blocks / (blocks - 1))
    return _NORMAL.cdf(-normal)


def _student(share: float, freedom: int) -> float:
    """Student's t below which `share` of it lies: Cornish and Fisher's expansion (Abramowitz and Stegun, 26.7.5)."""
    x = _NORMAL.inv_cdf(share)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))


def _interval(ordered: Sequence[float], share: float) -> tuple[float, float]:
    out = min(int(len(ordered) * share), len(ordered) // 2)
    return ordered[out], ordered[-1 - out]


def _draw(count: int, chance: random.Random) -> list[int]:
    """How often each of `count` blocks was drawn, in `count` draws."""
    weights = [0] * count
    for index in chance.choices(range(count), k=count):
        weights[index] += 1
    return weights


class _Side:
    """One server's blocks, laid out so that a draw costs some ten looks and no merging.

    `_seen[i][k]` is how many values of block k lie in bin i or below: a draw's own count is their
    weighted sum, and its percentile is found by halving.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._seconds = [block.seconds for block in blocks]
        self._replies = [block.replies for block in blocks]
        self._latencies = [block.latency for block in blocks]
        self._bins = sorted({index for block in blocks for index in block.latency.counts})
        seen = [0] * len(blocks)
        self._seen: list[tuple[int, ...]] = []
        for index in self._bins:
            seen = [so_far + block.latency.counts.get(index, 0) for so_far, block in zip(seen, blocks, strict=True)]
            self._seen.append(tuple(seen))

    def percentiles(self, percent: float) -> list[float]:
        """Of each block, in seconds; 0 is none."""
        return [latency.percentile(percent) / 1e9 for latency in self._latencies]

    def measure(self, weights: Sequence[int]) -> list[float]:
        """Throughput per second and percentiles in seconds of blocks drawn so often each; 0 is none."""
        seconds = sum(map(mul, weights, self._seconds))
        throughput = sum(map(mul, weights, self._replies)) / seconds if seconds > 0 else 0.0
        seen = self._seen

        def count(index: int) -> int:
            return sum(map(mul, weights, seen[index]))

        return [throughput, *(self._percentile(percent, count) for percent in _PERCENTS.values())]

    def _percentile(self, percent: int, count: Callable[[int], int]) -> float:
        last = len(self._bins) - 1
        total = count(last) if last >= 0 else 0
        if not total:
            return 0.0
        rank = -(-total * percent // 100)  # rounded up, in integers: exact, and fast
        found = bisect_left(range(last), rank, key=count)
        return bounds_of(self._bins[found])[1] / 1e9
