"""How long did it take, for each of millions, in memory that does not grow?

A log-linear histogram laid out exactly as HdrHistogram's (Gil Tene) with three significant
digits: within each power of two, 1024 equally wide bins, so a bin is never wider than a
1024th of the values in it. Equal layout means that files in HdrHistogram's formats (`measure.hdr`) are
written without converting anything.

Rules:

* Values are integers of nanoseconds, from 0 to `HIGHEST` (one hour); what is longer counts as
  one hour. Microseconds would be cheaper to print and wrong: on loopback a reply takes some
  50 us, so a microsecond is two per cent.
* Constant memory: at most `BINS` (33,792) counts, however many values. They are kept in a
  dictionary and not in an array because a run touches a few hundred to a few thousand of them:
  `merge`, once per interval, then takes a fraction of a millisecond instead of two, and the
  generator does not stutter each second. A record costs 20 % more than with a list.
* `min` and `max` are exact. A percentile is never above `max` nor below `min`.
* Percentile p of n values: the smallest bin that at least p % of the values are in or below,
  told by its highest value. So it is never lower than the truth (the value of rank
  `ceil(n * p / 100)` of the sorted ones), and higher by less than a 1024th.

Not here: what is measured (`measure.ledger`), how it is printed (`output.report`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction

__all__ = ["BINS", "BUCKETS", "HIGHEST", "Histogram", "merged"]

#: 2^10 bins per power of two: three significant digits need a resolution of at least 1000.
_HALF_BITS = 10
#: Values of this many bits are the first that a bin has to share.
_EXACT_BITS = _HALF_BITS + 1

#: One hour in nanoseconds.
HIGHEST = 3_600_000_000_000

#: The number of different bins: the exact ones, then 1024 per further power of two.
BINS = ((HIGHEST.bit_length() - _EXACT_BITS) << _HALF_BITS) + (2 << _HALF_BITS)
#: The same in HdrHistogram's words: the exact bins are one bucket, each further power of two is one.
BUCKETS = HIGHEST.bit_length() - _EXACT_BITS + 1


def bin_of(value: int) -> int:
    """The bin a value (0 to `HIGHEST`) is counted in."""
    shift = value.bit_length() - _EXACT_BITS
    return (shift << _HALF_BITS) + (value >> shift) if shift > 0 else value


def bounds_of(index: int) -> tuple[int, int]:
    """The lowest and the highest value that a bin stands for."""
    shift = (index >> _HALF_BITS) - 1
    if shift <= 0:
        return index, index
    low = (index - (shift << _HALF_BITS)) << shift
    return low, low + (1 << shift) - 1


class Histogram:
    """Counts of values in nanoseconds.

    `counts` maps a bin to how many values fell into it, `count` is their total, `min` and `max`
    are exact (0 while empty).
    """

    __slots__ = ("_low", "counts", "max")

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)
        self.max = 0
        self._low = HIGHEST

    def record(self, value: int, times: int = 1) -> None:
        """Count `value` (nanoseconds), `times` times over."""
        if value > self.max:
            if value > HIGHEST:
                value = HIGHEST
            self.max = value
        if value < self._low:
            if value < 0:
                raise ValueError(f"a duration can't be negative: {value} ns")
            self._low = value
        shift = value.bit_length() - _EXACT_BITS  # bin_of, in line: this runs once per reply
        self.counts[(shift << _HALF_BITS) + (value >> shift) if shift > 0 else value] += times

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return sum(self.counts.values())

    @property
    def min(self) -> int:
        """The smallest value recorded, exactly; 0 if there was none."""
        return self._low if self.counts else 0

    @property
    def mean(self) -> float:
        """The mean in nanoseconds, each value taken for the middle of its bin (error below a 2048th)."""
        total = self.count
        if not total:
            return 0.0
        weighted = sum(sum(bounds_of(index)) * times for index, times in self.counts.items())
        return min(max(weighted / 2 / total, float(self.min)), float(self.max))

    @property
    def deviation(self) -> float:
        """The standard deviation in nanoseconds, of the bins' middles."""
        total, mean = self.count, self.mean
        if not total:
            return 0.0
        squares = sum((sum(bounds_of(index)) / 2 - mean) ** 2 * times for index, times in self.counts.items())
        return math.sqrt(squares / total)

    def restore(self, index: int, times: int) -> None:
        """Count `times` values that were written as a bin. Raises `ValueError` if there is no such index."""
        if not 0 <= index < BINS or times < 0:
            raise ValueError(f"a histogram has no bin {index} with {times} values")
        low, high = bounds_of(index)
        self.counts[index] += times
        self.max = max(self.max, min(high, HIGHEST))
        self._low = min(self._low, low)

    def limit(self, longest: int) -> None:
        """No value was above `longest` (ns): known beside counts that tell it to a bin's width. 0 is not known."""
        if longest:
            self.max = min(self.max, longest)

    def merge(self, other: Histogram) -> None:
        """Add what `other` counted. Nothing is lost: both have the same bins."""
        counts = self.counts
        for index, times in other.counts.items():
            counts[index] += times
        if other.max > self.max:
            self.max = other.max
        if other._low < self._low:
            self._low = other._low

    def percentile(self, percent: float) -> int:
        """The value in nanoseconds that `percent` % of the values do not exceed; 0 if there are none."""
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: Iterable[float]) -> list[int]:
        """Several percentiles in one walk over the counts, in the order asked for."""
        asked = list(percents)
        for percent in asked:
            if not 0 <= percent <= 100:
                raise ValueError(f"a percentile is from 0 to 100, not {percent}")
        if not self.counts:
            return [0] * len(asked)
        total = self.count
        # By rank, not by fraction: a rank is an integer, and 99.9 % of 1000 is the 999th.
        ranks = {percent: rank_of(percent, total) for percent in asked}
        bins = iter(sorted(self.counts))
        seen = index = 0
        found = {}
        for percent, rank in sorted(ranks.items(), key=lambda item: item[1]):
            while seen < rank:
                index = next(bins)
                seen += self.counts[index]
            found[percent] = max(min(bounds_of(index)[1], self.max), self._low)
        return [found[percent] for percent in asked]

    def cumulative(self) -> Iterator[tuple[int, int]]:
        """How many values are at most how large, bin by bin."""
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            yield seen, bounds_of(index)[1]

    def __repr__(self) -> str:
        return f"<Histogram {self.count} values, {self.min}..{self.max} ns>"


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One of its own that has all their values."""
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def rank_of(percent: float, total: int) -> int:
    """Which of `total` sorted values (from 1) is the percentile: the smallest with `percent` % at or below it.

    In exact fractions of what was written: to a computer 99.9 / 100 * 10000000 is a little more
    than 9990000, which would make it the next one.
    """
    return min(total, max(1, math.ceil(Fraction(str(percent)) * total / 100)))
