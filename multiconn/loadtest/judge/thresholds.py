"""Is the run as good as its thresholds demand?

    --threshold 'response.p99<20ms'      looked at once, over the whole run
    --abort-on 'error_rate>10%'          looked at after every measured interval, over that interval

An expression is METRIC OP VALUE, with < <= > or >=:

    response.p99 service.p50 connect.max failed.mean    p with any number, min, mean or max; a time
    error_rate              failed of all that had an outcome; a share (0.01) or per cent (1%)
    ok_per_s achieved       replies per second, right ones and all
    achieved/target         needs --rate; a share or per cent
    failed dropped          requests

Rules:

* A threshold says what must hold, `--abort-on` what must not come true.
* A metric without a value (no reply yet) holds for no threshold, and aborts nothing.
* What can't be read is refused before the run, with the words that are known.

Pure. Not here: exit codes, ending the run (`engine.runner`).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from eventloop import parse_duration

from ..measure.histogram import Histogram
from ..measure.intervals import MEASURING, Interval
from ..quantity import plain_number

__all__ = ["Expression", "Measured", "Threshold", "abort_reason", "of_interval", "parse"]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHAPE = re.compile(r"\s*([a-z_/]+)(?:\.([a-z]+)(\d+(?:\.\d+)?)?)?\s*(<=|>=|<|>)\s*(\S+)\s*")

_LATENCIES = ("response", "service", "connect", "failed")
_SHARES = ("error_rate", "achieved/target")
_NUMBERS = ("ok_per_s", "achieved", "failed", "dropped")
_KNOWN = "response.p99, service.p50, connect.max, failed.mean, error_rate, ok_per_s, achieved, achieved/target, dropped"


class Measured(NamedTuple):
    """What expressions are about: a run, or an interval of one."""

    histograms: dict[str, Histogram]
    numbers: dict[str, float | None]


class Expression(NamedTuple):
    """A `metric` with an `aspect` (`p`, `min`, `mean`, `max`; empty for numbers), compared with seconds or a number."""

    text: str
    metric: str
    aspect: str
    percent: float
    comparison: str
    value: float

    def observe(self, measured: Measured) -> float | None:
        """The metric's value in seconds, as a share, or as a number; None if there is none."""
        if not self.aspect:
            return measured.numbers.get(self.metric)
        histogram = measured.histograms.get(self.metric)
        if histogram is None or not histogram.counts:
            return None
        if self.aspect == "p":
            return histogram.percentile(self.percent) / 1e9
        return float(getattr(histogram, self.aspect)) / 1e9

    def holds(self, observed: float | None) -> bool:
        return observed is not None and _OPERATORS[self.comparison](observed, self.value)


def parse(text: str, *, is_open: bool = True) -> Expression:
    """Read an expression. Raises `ValueError` with a sentence that says what is known."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not METRIC<VALUE, such as response.p99<20ms or error_rate<=1%")
    metric, aspect, number, comparison, value = match.groups()
    if aspect:
        percent = float(number) if number else 0.0
        whole = (aspect == "p" and 0 < percent <= 100) or (aspect in ("min", "mean", "max") and not number)
        if metric not in _LATENCIES or not whole:
            raise ValueError(f"{text!r} names nothing that is measured; there are {_KNOWN}")
        return Expression(text, metric, aspect, percent, comparison, _time(text, value))
    if metric in _SHARES:
        if metric == "achieved/target" and not is_open:
            raise ValueError(f"{text!r} needs --rate: a closed run has no target")
        return Expression(text, metric, "", 0.0, comparison, _share(text, value))
    if metric in _NUMBERS:
        return Expression(text, metric, "", 0.0, comparison, _number(text, value.removesuffix("/s")))
    raise ValueError(f"{text!r} names nothing that is measured; there are {_KNOWN}")


def _time(text: str, value: str) -> float:
    if not value[-1:].isalpha():
        raise ValueError(f"{text!r} compares a time with {value}: write its unit, such as {value}ms or {value}s")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _share(text: str, value: str) -> float:
    if value.endswith("%"):
        return _number(text, value[:-1]) / 100
    return _number(text, value)


def _number(text: str, value: str) -> float:
    read = plain_number(value)
    if read is None:
        raise ValueError(f"{text[:80]!r} compares with what is no number: write one such as 0.01, 1% or 5k")
    return read


class Threshold(NamedTuple):
    """What became of one: `observed` is None if there was nothing to observe."""

    expr: str
    observed: float | None
    ok: bool


def abort_reason(expressions: Sequence[Expression], interval: Interval) -> str | None:
    """Why a run is to be aborted after this interval: the first of its `--abort-on` that is true of it; or None.

    Only what is measured aborts a run.
    """
    if interval.phase != MEASURING or interval.seconds <= 0:
        return None
    measured = of_interval(interval)
    for expression in expressions:
        observed = expression.observe(measured)
        if observed is not None and expression.holds(observed):
            return f"--abort-on {expression.text}: {observed:.4g} at {interval.t:.1f} s"
    return None


def of_interval(interval: Interval) -> Measured:
    """The metrics of an interval; its `seconds` are more than 0."""
    had_outcome = interval.ok + interval.failed
    target = interval.target
    return Measured(
        {"response": interval.response, "service": interval.service, "failed": interval.failures},
        {
            "error_rate": interval.failed / had_outcome if had_outcome else None,
            "ok_per_s": interval.ok / interval.seconds,
            "achieved": interval.rate,
            "achieved/target": interval.rate / target if target else None,
            "failed": float(interval.failed),
            "dropped": float(interval.dropped),
        },
    )
