"""What does a person want to see?

One screen, read in five seconds, from the top: how fast, was it right, how long did it take, what
went wrong, may it be believed. Errors that did not occur are not listed (the JSON has them all).

Plain ASCII and no colours: it is as likely to be pasted into a ticket as read in a terminal. Not
here: the figures (`outcome`), counting (`engine.interval_recorder`).
"""

from __future__ import annotations

import signal
import textwrap
from collections.abc import Iterator

from protocol.printable import printable

from ..config import CLOSED_LABEL, FULL, Config
from ..measure.errors import Incident
from ..measure.histogram import Histogram
from ..measure.ledger import Connections
from ..outcome import Outcome
from .records import percent_key
from .units import bytes_text, time_text

__all__ = ["header", "report"]

_LABEL = 11  # width of the words on the left
_CELL = 10

#: Characters per line of what may be long: an error's details, the reasons of a verdict.
_WRAP = 90


def header(config: Config, target: str) -> str:
    """One line before the run: what is about to be done."""
    if config.requests is None:
        until = f"for {config.duration:g} s"
    elif config.duration is None:
        until = f"{config.requests:,} requests"
    else:
        until = f"{config.requests:,} requests or {config.duration:g} s"
    warmup = f" after {config.warmup:g} s of warm-up" if config.warmup else ""
    flight = f" x {config.pipeline} in flight" if config.pipeline > 1 else ""
    rate = f" at {config.rate:g}/s ({config.arrival})" if config.rate is not None else ""
    workers = f", {config.workers} workers" if config.workers > 1 else ""
    return f"load {target}: {_plural(config.connections, 'connection')}{flight}{rate}, {until}{warmup}{workers}"


def report(outcome: Outcome) -> str:
    """The screen at the end, without a final line break."""
    return "\n".join(map(printable, _lines(outcome)))


def _lines(outcome: Outcome) -> Iterator[str]:
    yield ""
    if outcome.connections.opened:
        yield from _figures(outcome)
    yield from _errors(outcome)
    if outcome.connections.opened:
        yield _row("traffic", f"{bytes_text(outcome.bytes_sent)} sent, {bytes_text(outcome.bytes_received)} received")
        yield _row("sockets", _sockets(outcome.connections))
    yield from _verdict(outcome)
    if outcome.config.rate is None:
        yield ""
        yield f"  {CLOSED_LABEL}"


def _figures(outcome: Outcome) -> Iterator[str]:
    measured, percents = outcome.measured, outcome.config.percentiles
    replies = outcome.window_replies
    target = outcome.target_rate
    asked = "" if target is None else f" of {target:,.0f} asked for"
    rate = f"{outcome.per_second(replies):,.0f} replies/s{asked}"
    yield _row("rate", f"{rate}    ({_plural(replies, 'reply', 'replies')} in {outcome.duration_s:.2f} s)")
    yield _row("requests", _requests(outcome))
    yield ""
    yield _row("latency", "".join(f"{'p' + percent_key(p):>{_CELL}}" for p in percents) + f"{'max':>{_CELL}}")
    yield _latency("response", measured.response, percents)
    if outcome.config.rate is not None:
        yield _latency("service", measured.service, percents)
    yield _latency("connect", outcome.connections.connect, percents)
    if outcome.accounting.failed:
        yield _latency("failed", measured.failures, percents)
    yield ""


def _requests(outcome: Outcome) -> str:
    accounting = outcome.accounting
    parts = [f"{accounting.ok:,} ok{_verified(outcome) if accounting.ok else ''}", f"{accounting.failed:,} failed"]
    if accounting.dropped:
        parts.append(f"{accounting.dropped:,} never sent (dropped)")
    if accounting.in_flight_at_end:
        parts.append(f"{accounting.in_flight_at_end:,} unanswered at the end")
    if outcome.warmup.failed:
        parts.append(f"{outcome.warmup.failed:,} failed in the warm-up, not counted")
    return ", ".join(parts)


def _verified(outcome: Outcome) -> str:
    """How much is known of the replies that count as right."""
    unknown, actions = outcome.unknown, outcome.measured.by_action
    if outcome.config.verify != FULL or (unknown and len(unknown) == len(actions)):
        return ", every reply whole"
    if not unknown:
        return ", every reply verified"
    named = ", ".join(unknown[:3]) + (", ..." if len(unknown) > 3 else "")
    return f", verified where the right answer is known and whole where not ({named})"


def _latency(name: str, histogram: Histogram, percents: tuple[float, ...]) -> str:
    if not histogram.counts:
        return _row(f"  {name}", f"{'-':>{_CELL}}" * (len(percents) + 1))
    values = [*histogram.percentiles(percents), histogram.max]
    return _row(f"  {name}", "".join(f"{time_text(value / 1e9):>{_CELL}}" for value in values))


def _errors(outcome: Outcome) -> Iterator[str]:
    occurred = sorted(((n, c) for n, c in outcome.errors.items() if c), key=lambda item: -item[1])
    if not occurred:
        yield _row("errors", "none")
        return
    label = "errors"
    for name, count in occurred:
        yield _row(label, f"{count:>7,}  {name}")
        yield from (_row("", f"         {line}") for line in textwrap.wrap(_first(outcome, name), _WRAP))
        label = ""


def _first(outcome: Outcome, name: str) -> str:
    kept: list[Incident] = outcome.measured.errors.kept.get(name, []) + outcome.connections.errors.kept.get(name, [])
    first = min(kept)
    return f"first at {first.at_s:.2f} s on connection {first.connection}: {printable(first.detail)}"


def _sockets(connections: Connections) -> str:
    parts = [f"{connections.opened:,} opened, at most {connections.peak:,} at a time"]
    if connections.reconnects:
        parts.append(_plural(connections.reconnects, "reconnect"))
    if connections.closed_by_peer:
        parts.append(f"{connections.closed_by_peer:,} closed by the server")
    return ", ".join(parts)


def _verdict(outcome: Outcome) -> Iterator[str]:
    verdict = outcome.verdict
    lag = time_text(outcome.loop_lag.percentile(99) / 1e9)
    server = "" if outcome.server_cpu is None else f", server at {outcome.server_cpu:.0%}"
    figures = f"generator at {outcome.cpu:.0%} of a core{server}, loop lag p99 {lag}"
    valid = "valid" if verdict.valid else "NOT VALID"
    if outcome.aborted is not None:
        valid = f"aborted; {valid}"
    if outcome.interrupted is not None:
        valid = f"interrupted by {signal.Signals(outcome.interrupted).name}; {valid}"
    measured = f"; bottleneck: {verdict.bottleneck} ({figures})" if outcome.duration_s else ""
    yield _row("verdict", valid + measured)
    for reason in verdict.reasons:
        first, *more = textwrap.wrap(reason, _WRAP)
        yield _row("", f"- {first}")
        yield from (_row("", f"  {line}") for line in more)
    if outcome.aborted is not None:
        yield _row("", f"- {outcome.aborted}")
    for expr, observed, ok in outcome.thresholds:
        seen = "nothing to observe" if observed is None else f"{observed:.4g}"
        yield _row("", f"- threshold {expr}: {'ok' if ok else 'FAILED'} ({seen})")


def _row(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}".rstrip()


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
