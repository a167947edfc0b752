"""What came out of a run?

`Outcome` is everything the runner measured, as plain data, with the verdict and the thresholds that follow from it.

Not here: measuring (`engine.runner`), what is written of it (`output.summary`, `output.report`), exit codes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from .config import Config
from .judge.thresholds import Measured, Threshold, parse
from .judge.verdict import Figures, Verdict, judge
from .measure.accept_queue import retried
from .measure.errors import CONNECT_TIMEOUT, FD_LIMIT, NAMES, PORTS_EXHAUSTED
from .measure.histogram import Histogram, merged
from .measure.ledger import Accounting, Connections, Ledger

__all__ = ["Outcome", "together"]

_SECOND = 1e9  # nanoseconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run, measured. Seconds, bytes and counts; histograms are of nanoseconds.

    `duration_s` is the measured window alone. `warmup` is the ledger of the warm-up: kept, so
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


def together(outcomes: Sequence[Outcome], config: Config, fingerprint: str, server_cpu: float | None = None) -> Outcome:
    """The run that several workers made together: sums, merged histograms, and the busiest core."""
    first = outcomes[0]
    digest = hashlib.sha256(fingerprint.encode())
    if config.rate is not None:
        digest.update(first.schedule_of_times)  # the same in all of them
    return replace(
        first,
        config=config,
        schedule_sha256=digest.hexdigest(),
        started_at=min(outcome.started_at for outcome in outcomes),
        measured=Ledger.together([outcome.measured for outcome in outcomes]),
        warmup=Ledger.together([outcome.warmup for outcome in outcomes]),
        accounting=Accounting(*(sum(column) for column in zip(*(o.accounting for o in outcomes), strict=True))),
        connections=Connections.together([outcome.connections for outcome in outcomes]),
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
        loop_lag=merged(outcome.loop_lag for outcome in outcomes),
        send_delay=merged(outcome.send_delay for outcome in outcomes),
        server_cpu=server_cpu,
        # one count for the whole machine, which each of them has seen rise
        listen_overflows=max((o.listen_overflows for o in outcomes if o.listen_overflows is not None), default=None),
    )
