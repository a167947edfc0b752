"""What does a comparison say, to people and to programs, and how are two saved runs compared?

Not here: what follows from the figures (`judge.compare`), the command (`multiconn.commands.compare`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protocol.printable import printable

from ..judge.bootstrap import CONFIDENCE, MARGIN, METRICS, Change
from ..judge.compare import Comparison, Side, Slice, blocks_of, compare
from .records import latency_histogram
from .saved_run import SavedRun, Warn, ignore, read_run
from .units import time_text

__all__ = ["compare_saved", "comparison_object", "comparison_text"]


def comparison_object(comparison: Comparison) -> dict[str, Any]:
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


def comparison_text(comparison: Comparison) -> str:
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


# --- saved runs ---------------------------------------------------------------------


def compare_saved(a: Path, b: Path, warn: Warn = ignore) -> Comparison:
    """Compare two directories; what is not whole in them, `warn` is called with.

    Raises `ValueError` or `OSError` if one is no run.
    """
    runs = read_run(a, warn), read_run(b, warn)
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


def _slices(saved: SavedRun) -> Iterator[Slice]:
    for line in saved.intervals:
        try:
            latency = latency_histogram(line["latency_s"]["response"])
            yield Slice(line["phase"], line["seconds"], line["counts"]["replies"], latency)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{saved.directory}: an interval of its time series lacks {error}") from None
