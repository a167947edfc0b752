"""What came out of a run?

`Outcome` is everything the runner measured, as plain data. `summary` turns it into the object of
`summary.json` (load.md, `"schema": "appload/1"`): seconds, the unit in the key, every key there
whatever happened.

Not here: measuring (`engine.runner`), printing for people (`output.report`).
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from multiconn.commands.arguments import version

from .config import Config
from .judge.thresholds import Measured, Threshold, parse
from .judge.verdict import Figures, Verdict, judge
from .measure.accept_queue import retried
from .measure.errors import CONNECT_TIMEOUT, FD_LIMIT, NAMES, PORTS_EXHAUSTED, WRONG
from .measure.histogram import Histogram
from .measure.ledger import Accounting, Connections, Ledger
from .output.files import latency_object, percent_key

__all__ = ["FILES_LOST", "INTERNAL_ERROR", "USAGE", "Outcome", "exit_code", "percent_key", "summary", "together"]

SCHEMA = "appload/1"

COMPLETED, INTERNAL_ERROR, USAGE, NEVER_CONNECTED, WRONG_REPLY, INVALID, THRESHOLD_FAILED = 0, 1, 2, 3, 4, 5, 99
#: All is well but the files of `--out`. It comes last: whoever reads a code wants to know of the run first.
FILES_LOST = 6

_SECOND = 1e9  # nanoseconds


@dataclass(slots=True)
class Outcome:
    """One run, measured. Seconds, bytes and counts; histograms are of nanoseconds.

    `duration_s` is the measured window alone. `warmup` are the books of the warm-up: kept, so
    that a wrong reply is noticed there too, but part of no number. `window_ok` and `window_replies`
    came within the window. `interrupted` is the signal that ended the run, `aborted` the words of
    `--abort-on`, `stopped` the reason if the runner gave up. `local`: the server is on this machine, whose
    `cores` it shares with the generator; `server_cpu` is the bundled server's share of one. `unknown` are the
    actions of which the right answer is not known, so that their replies can only be whole.
    `listen_overflows`: by how much this machine's count of connections that found an accept queue full rose; None
    if the server is elsewhere.
    """

    config: Config
    target: str
    started_at: datetime
    measured: Ledger
    warmup: Ledger
    accounting: Accounting
    connections: Connections
    schedule_sha256: str
    schedule_of_times: bytes = b""
    duration_s: float = 0.0
    window_ok: int = 0
    window_replies: int = 0
    interrupted: int | None = None
    aborted: str | None = None
    stopped: str | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    cpu: float = 0.0
    run_delay: float = 0.0
    loop_lag: Histogram = field(default_factory=Histogram)
    send_delay: Histogram = field(default_factory=Histogram)
    local: bool = False
    cores: int = 0
    server_cpu: float | None = None
    unknown: tuple[str, ...] = ()
    listen_overflows: int | None = None

    @property
    def errors(self) -> dict[str, int]:
        """Every name with its count: failed requests, and connections that failed without one."""
        requests, connections = self.measured.errors.counts, self.connections.errors.counts
        return {name: requests[name] + connections[name] for name in NAMES}

    @property
    def verdict(self) -> Verdict:
        return judge(self.figures)

    @property
    def figures(self) -> Figures:
        """What the verdict is made of."""
        return Figures(
            duration_s=self.duration_s,
            replies=self.measured.replies,
            connections_opened=self.connections.opened,
            connections_wanted=self.connections.wanted,
            connections_peak=self.connections.peak,
            cpu=self.cpu,
            lag_p99_s=self.loop_lag.percentile(99) / _SECOND,
            response_p99_s=self.measured.response.percentile(99) / _SECOND,
            stopped=self.stopped,
            run_delay=self.run_delay,
            target=self.target_rate,
            scheduled=self.accounting.scheduled,
            sent=self.accounting.sent,
            achieved=self.per_second(self.window_replies),
            send_delay_p99_s=self.send_delay.percentile(99) / _SECOND,
            refused_by_us=self.errors[FD_LIMIT] + self.errors[PORTS_EXHAUSTED],
            workers=self.config.workers,
            cores=self.cores,
            local=self.local,
            server_cpu=self.server_cpu,
            response_p50_s=self.measured.response.percentile(50) / _SECOND,
            think_s=sum(self.config.think) / 2,
            connections_failed=self.connections.errors.total,
            syn_retries=retried(self.connections.connect),
            connect_timeouts=self.connections.errors.counts[CONNECT_TIMEOUT],
            listen_overflows=self.listen_overflows,
        )

    @property
    def target_rate(self) -> float | None:
        """Requests per second asked for, the mean over the measured window; None in a closed run."""
        config = self.config
        if config.rate is None:
            return None
        until = config.warmup + self.duration_s
        profile = config.load
        return (profile.mass(until) - profile.mass(config.warmup)) / self.duration_s if self.duration_s else config.rate

    @property
    def thresholds(self) -> list[Threshold]:
        """What became of `--threshold`, in order."""
        measured = Measured(
            {
                "response": self.measured.response,
                "service": self.measured.service,
                "connect": self.connections.connect,
                "failed": self.measured.failures,
            },
            self._numbers(),
        )
        made = []
        for text in self.config.thresholds:
            expression = parse(text)
            observed = expression.observe(measured)
            made.append(Threshold(text, observed, expression.holds(observed)))
        return made

    def _numbers(self) -> dict[str, float | None]:
        had_outcome = self.accounting.ok + self.accounting.failed
        target, achieved = self.target_rate, self.per_second(self.window_replies)
        return {
            "error_rate": self.accounting.failed / had_outcome if had_outcome else None,
            "ok_per_s": self.per_second(self.window_ok),
            "achieved": achieved,
            "achieved/target": achieved / target if target else None,
            "failed": float(self.accounting.failed),
            "dropped": float(self.accounting.dropped),
        }

    def per_second(self, count: int) -> float:
        """`count` over the measured window."""
        return count / self.duration_s if self.duration_s > 0 else 0.0


def exit_code(outcome: Outcome, *, files_lost: bool = False) -> int:
    """The first that applies, in load.md's order (1 and 2 are decided before there is an outcome).

    A run in which no request succeeded never completes: nothing answered is as never connected, nothing
    but errors as a wrong reply.
    """
    if outcome.interrupted is not None:
        return 128 + outcome.interrupted
    if not outcome.connections.opened:
        return NEVER_CONNECTED
    if any(outcome.errors[name] or outcome.warmup.errors.counts[name] for name in WRONG):
        return WRONG_REPLY
    if not outcome.measured.ok:
        return WRONG_REPLY if outcome.measured.replies else NEVER_CONNECTED
    config = outcome.config
    if (config.require_valid or config.thresholds) and not outcome.verdict.valid:
        return INVALID
    if outcome.aborted is not None or not all(threshold.ok for threshold in outcome.thresholds):
        return THRESHOLD_FAILED
    return FILES_LOST if files_lost else COMPLETED


def together(outcomes: Sequence[Outcome], config: Config, fingerprint: str) -> Outcome:
    """The run that several workers made together: sums, merged histograms, and the busiest core."""
    first = outcomes[0]
    digest = hashlib.sha256(fingerprint.encode())
    if config.rate is not None:
        digest.update(first.schedule_of_times)  # the same in all of them
    for other in outcomes[1:]:
        first.measured.merge(other.measured)
        first.warmup.merge(other.warmup)
        first.connections.merge(other.connections)
        first.loop_lag.merge(other.loop_lag)
        first.send_delay.merge(other.send_delay)
    return replace(
        first,
        config=config,
        schedule_sha256=digest.hexdigest(),
        started_at=min(outcome.started_at for outcome in outcomes),
        accounting=Accounting(*(sum(column) for column in zip(*(o.accounting for o in outcomes), strict=True))),
        duration_s=max(outcome.duration_s for outcome in outcomes),
        window_ok=sum(outcome.window_ok for outcome in outcomes),
        window_replies=sum(outcome.window_replies for outcome in outcomes),
        interrupted=next((o.interrupted for o in outcomes if o.interrupted is not None), None),
        aborted=next((o.aborted for o in outcomes if o.aborted is not None), None),
        stopped=next((o.stopped for o in outcomes if o.stopped is not None), None),
        bytes_sent=sum(outcome.bytes_sent for outcome in outcomes),
        bytes_received=sum(outcome.bytes_received for outcome in outcomes),
        cpu=max(outcome.cpu for outcome in outcomes),
        run_delay=max(outcome.run_delay for outcome in outcomes),
        # one count for the whole machine, which each of them has seen rise
        listen_overflows=max((o.listen_overflows for o in outcomes if o.listen_overflows is not None), default=None),
    )


def summary(outcome: Outcome, argv: Iterable[str]) -> dict[str, Any]:
    """The object of `summary.json`."""
    measured, connections, verdict = outcome.measured, outcome.connections, outcome.verdict
    percents = outcome.config.percentiles
    response = latency_object(measured.response, percents)
    is_open = outcome.config.rate is not None
    return {
        "schema": SCHEMA,
        "run": _run(outcome, argv),
        "verdict": {
            "valid": verdict.valid,
            "reasons": verdict.reasons,
            "bottleneck": verdict.bottleneck,
            "thresholds": [threshold._asdict() for threshold in outcome.thresholds],
        },
        "accounting": outcome.accounting._asdict(),
        "rate": {
            "target": outcome.target_rate,
            "offered": outcome.per_second(measured.sent),
            "achieved": outcome.per_second(outcome.window_replies),
            "ok_per_s": outcome.per_second(outcome.window_ok),
        },
        "latency_s": {
            "response": response,
            "service": latency_object(measured.service, percents) if is_open else response,
            "connect": latency_object(connections.connect, percents),
            "failed": latency_object(measured.failures, percents),
        },
        "by_action": {
            action: dict(zip(("sent", "ok", "failed"), counts, strict=True))
            for action, counts in measured.by_action.items()
        },
        "bytes": {"sent": outcome.bytes_sent, "received": outcome.bytes_received},
        "connections": {
            "opened": connections.opened,
            "peak": connections.peak,
            "reconnects": connections.reconnects,
            "closed_by_peer": connections.closed_by_peer,
            "syn_retries": retried(connections.connect),
            "listen_overflows": outcome.listen_overflows,
        },
        "errors": outcome.errors,
        "generator": {
            "cpu_max": round(outcome.cpu, 4),
            "loop_lag_p99_s": outcome.loop_lag.percentile(99) / _SECOND,
            "schedule_slip_p99_s": outcome.send_delay.percentile(99) / _SECOND if is_open else None,
        },
        "server": None,
    }


def _run(outcome: Outcome, argv: Iterable[str]) -> dict[str, object]:
    started = outcome.started_at
    return {
        "id": f"{started:%Y%m%dT%H%M%S}-{os.getpid()}",
        "name": outcome.target,
        "started_at": started.isoformat(timespec="milliseconds"),
        "duration_s": outcome.duration_s,
        "interrupted": outcome.interrupted is not None,
        "argv": list(argv),
        "config": {"target": outcome.target, **outcome.config.as_dict()},
        "seed": outcome.config.seed,
        "schedule_sha256": outcome.schedule_sha256,
        "host": {"name": platform.node(), "system": platform.platform(), "cpus": os.cpu_count()},
        "versions": {"multiconn": version(), "python": platform.python_version()},
    }
