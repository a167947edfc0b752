"""What was measured, and which promises does it keep?

Pure: no socket, no process, no clock. Each promise is a `Check` with its bound in words, so that the
report says what was asked as well as what was found.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Check", "Figures", "Sample", "checks", "closes", "growth", "percentile"]

MIB = 2**20

#: How many times its quiet value the good traffic's p99 may be beside bad peers.
FACTOR = 5.0
#: The quiet value is at least this much: so long a scheduler may hold a process up at any time.
FLOOR_US = 2_000
#: Growth over the last two thirds that is taken for noise: the allocator keeps what was needed at
#: the worst moment so far, and the four contents of 2 MiB that peers of one kind may have under way
#: may come together late. At twenty minutes it is less than 60 bytes a connection.
GROWTH = 8 * MIB
#: Of a core, once all peers are gone.
IDLE_CPU = 0.02
#: Timeouts' lengths of bad peers after which every reason must have been seen ...
ALL_REASONS = 4.0
#: ... and after which every kind of peer must have come to its end: one of them takes its time,
#: and reaches the data rate's five seconds.
ALL_KINDS = 20.0

#: What the bad peers are for. `shutdown`, `cut` and `internal-error` must not be seen.
REASONS = (
    "served",
    "peer-closed",
    "truncated",
    "reset",
    "bad-framing",
    "header-timeout",
    "content-timeout",
    "idle-timeout",
    "send-timeout",
    "output-limit",
    "overloaded",
)
REASONS_LATER = ("slow",)
NOT_SEEN = ("shutdown", "cut", "internal-error")

_SUMMARY = re.compile(r"Closed: accepted (\d+)(?: \((.*)\))?")


class Sample(NamedTuple):
    """The server at a time: seconds since the beginning, bytes, and parts of a core."""

    at: float
    phase: str
    resident: int
    descriptors: int
    cpu: float
    good_p99_us: int
    bad_open: int


@dataclass
class Figures:
    """Everything a run brings. Times of the good traffic are in microseconds."""

    quiet_us: array[int] = field(default_factory=lambda: array("L"))
    chaos_us: array[int] = field(default_factory=lambda: array("L"))
    control_us: array[int] = field(default_factory=lambda: array("L"))
    samples: list[Sample] = field(default_factory=list)
    good_right: int = 0
    good_refused: int = 0
    good_failed: int = 0
    good_failures: list[str] = field(default_factory=list)
    good_made: int = 0
    good_finished: bool = False  #: its process came to its end, with every reply
    bad_made: int = 0
    bad_refused: int = 0
    bad_played: dict[str, int] = field(default_factory=dict)
    bad_broken: int = 0
    bad_told: list[str] = field(default_factory=list)
    chaos_seconds: float = 0.0
    timeout: float = 1.0
    descriptors_before: int = 0
    descriptors_after: int = 0
    descriptors_seconds: float = 0.0
    idle_cpu: float = 0.0
    accepted: int = -1
    closed_by: dict[str, int] = field(default_factory=dict)
    exit_code: int | None = None
    tracebacks: int = 0
    log_lines: int = 0


class Check(NamedTuple):
    name: str
    held: bool
    words: str


def percentile(values: Sequence[int], part: float) -> int:
    """Nearest rank; 0 of nothing."""
    if not values:
        return 0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def growth(points: Sequence[tuple[float, float]]) -> float:
    """What the least-squares line through (time, value) gains from its first time to its last."""
    if len(points) < 2:
        return 0.0
    mean_at = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    if not spread:
        return 0.0
    slope = sum((at - mean_at) * (value - mean) for at, value in points) / spread
    return slope * (points[-1][0] - points[0][0])


def last_two_thirds(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Resident memory beside bad peers, after the third in which every kind comes for the first time."""
    chaos = [sample for sample in samples if sample.phase == "chaos"]
    if not chaos:
        return []
    begin = chaos[0].at + (chaos[-1].at - chaos[0].at) / 3
    return [(sample.at, float(sample.resident)) for sample in chaos if sample.at >= begin]


def closes(log: str) -> tuple[int, dict[str, int]]:
    """Connections accepted, and closed by reason, from the server's last words; -1 if it said none."""
    found = _SUMMARY.findall(log)
    if not found:
        return -1, {}
    accepted, reasons = found[-1]
    pairs = (part.rsplit(" ", 1) for part in reasons.split(", ") if part)
    return int(accepted), {reason: int(count) for reason, count in pairs}


def checks(figures: Figures) -> list[Check]:
    """Every promise, in the order of the report."""
    return [
        _answers(figures),
        _latency(figures),
        _treatment(figures),
        _books(figures),
        _made(figures),
        _reasons(figures),
        _descriptors(figures),
        _memory(figures),
        _idle(figures),
        _exit(figures),
    ]


def _answers(figures: Figures) -> Check:
    held = figures.good_finished and figures.good_right > 0 and not figures.good_failed
    held = held and figures.good_refused <= figures.good_made / 2  # nearly all of which are newcomers
    words = f"{figures.good_right:,} right, {figures.good_failed} not; {figures.good_refused} told 'overloaded'"
    if not figures.good_finished:
        words += "; it did not come to its end"
    return Check("good answers", held, "; ".join([words, *figures.good_failures[:3]]))


def _latency(figures: Figures) -> Check:
    """The quiet value is the control's at the same time, or the server's own before, whichever is worse."""
    before, at_once = percentile(figures.quiet_us, 0.99), percentile(figures.control_us, 0.99)
    chaos = percentile(figures.chaos_us, 0.99)
    quiet = max(before, at_once, FLOOR_US)
    words = (
        f"{_ms(chaos)} beside bad peers; {_ms(at_once)} without them at the same time, {_ms(before)} before: "
        f"{chaos / quiet:.1f} times, may be {FACTOR:g} (p50: {_ms(percentile(figures.chaos_us, 0.5))}, "
        f"{_ms(percentile(figures.control_us, 0.5))}, {_ms(percentile(figures.quiet_us, 0.5))})"
    )
    return Check("good p99", bool(figures.chaos_us) and chaos <= FACTOR * quiet, words)


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.2f} ms"


def _treatment(figures: Figures) -> Check:
    played = sum(figures.bad_played.values())
    never = [name for name, count in figures.bad_played.items() if not count]
    held = not figures.bad_broken and (figures.chaos_seconds < ALL_KINDS * figures.timeout or not never)
    words = f"{played:,} treated as promised, {figures.bad_refused} told 'overloaded', {figures.bad_broken} not"
    if never:
        words += f"; none of: {', '.join(never)}"
    return Check("bad peers' due", held, "; ".join([words, *figures.bad_told[:3]]))


def _books(figures: Figures) -> Check:
    closed = sum(figures.closed_by.values())
    words = f"{figures.accepted:,} accepted, {closed:,} closed by reason"
    return Check("accepted = closed", figures.accepted == closed > 0, words)


def _made(figures: Figures) -> Check:
    made = figures.good_made + figures.bad_made
    return Check("accepted = made", figures.accepted == made, f"{figures.accepted:,} accepted, {made:,} made")


def _reasons(figures: Figures) -> Check:
    counts = figures.closed_by
    wanted = REASONS if figures.chaos_seconds < ALL_KINDS * figures.timeout else REASONS + REASONS_LATER
    missing = [reason for reason in wanted if not counts.get(reason)]
    unwanted = [reason for reason in NOT_SEEN if counts.get(reason)]
    held = not unwanted and (figures.chaos_seconds < ALL_REASONS * figures.timeout or not missing)
    words = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
    if missing:
        words += f"; not seen: {', '.join(missing)}"
    return Check("reasons", held, words)


def _descriptors(figures: Figures) -> Check:
    drift = figures.descriptors_after - figures.descriptors_before
    most = max((sample.descriptors for sample in figures.samples), default=0)
    words = (
        f"{figures.descriptors_before} before, {most} at most, {figures.descriptors_after} after "
        f"{figures.descriptors_seconds:.1f} s: drift {drift}"
    )
    return Check("descriptors", drift == 0, words)


def _memory(figures: Figures) -> Check:
    points = last_two_thirds(figures.samples)
    grown = growth(points)
    seconds = points[-1][0] - points[0][0] if points else 0.0
    most = max((sample.resident for sample in figures.samples), default=0)
    words = (
        f"{grown / MIB:+.2f} MiB over {seconds:.0f} s by least squares, {most / MIB:.1f} MiB at most; "
        f"may be {GROWTH / MIB:+.0f} MiB"
    )
    return Check("memory", bool(points) and grown <= GROWTH, words)


def _idle(figures: Figures) -> Check:
    words = f"{100 * figures.idle_cpu:.1f} % of a core with all peers gone; may be {100 * IDLE_CPU:g} %"
    return Check("idle CPU", figures.idle_cpu <= IDLE_CPU, words)


def _exit(figures: Figures) -> Check:
    held = figures.exit_code == 0 and not figures.tracebacks
    words = f"exit code {figures.exit_code}, {figures.tracebacks} tracebacks, {figures.log_lines} lines of log"
    return Check("server's end", held, words)
