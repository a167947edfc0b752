"""What does `summary.json` say of a run?

The object of docs/look-up/load-files.md, `"schema": "appload/1"`: seconds, the unit in the key, every key in every
run.

Not here: the file (`output.files`), printing for people (`output.report`).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from typing import Any

from ..measure.accept_queue import retried
from ..outcome import Outcome
from .records import latency_record

__all__ = ["SCHEMA", "summary"]

SCHEMA = "appload/1"

_SECOND = 1e9  # nanoseconds


def summary(outcome: Outcome, argv: Iterable[str], version: str) -> dict[str, Any]:
    """The object of `summary.json`. `argv` is the command line, `version` the load tester's own."""
    measured, connections, verdict = outcome.measured, outcome.connections, outcome.verdict
    percents = outcome.config.percentiles
    response = latency_record(measured.response, percents)
    is_open = outcome.config.rate is not None
    return {
        "schema": SCHEMA,
        "run": _run(outcome, argv, version),
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
            "service": latency_record(measured.service, percents) if is_open else response,
            "connect": latency_record(connections.connect, percents),
            "failed": latency_record(measured.failures, percents),
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


def _run(outcome: Outcome, argv: Iterable[str], version: str) -> dict[str, object]:
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
        "versions": {"multiconn": version, "python": platform.python_version()},
    }
