"""With which exit code does a load test end?

The first that applies, in the order of docs/look-up/client.md: the run's codes before its files'.

Not here: the codes' names (`multiconn.commands`), what `compare` returns (`compare`).
"""

from __future__ import annotations

from collections.abc import Iterable

from multiconn.loadtest.measure.errors import WRONG
from multiconn.loadtest.outcome import Outcome

from . import (
    DONE,
    ERROR_REPLY,
    FILES_LOST,
    INTERNAL_ERROR,
    INTERRUPTED,
    NOT_CONNECTED,
    NOT_VALID,
    SIGNAL,
    THRESHOLD_FAILED,
    USAGE,
)

__all__ = ["exit_code", "first_of"]

_ORDER = (
    INTERNAL_ERROR,
    USAGE,
    INTERRUPTED,
    143,
    NOT_CONNECTED,
    ERROR_REPLY,
    NOT_VALID,
    THRESHOLD_FAILED,
    FILES_LOST,
    DONE,
)


def first_of(codes: Iterable[int]) -> int:
    """Which of several runs' codes the command exits with: a signal's counts as Ctrl-C's."""
    return min(codes, key=lambda code: _ORDER.index(code) if code in _ORDER else _ORDER.index(INTERRUPTED))


def exit_code(outcome: Outcome, *, files_lost: bool = False) -> int:
    """The first that applies (1 and 2 are decided before there is an outcome).

    A run without a success never completes: no reply counts as never connected, nothing but errors
    as a wrong reply.
    """
    if outcome.interrupted is not None:
        return SIGNAL + outcome.interrupted
    if not outcome.connections.opened:
        return NOT_CONNECTED
    if any(outcome.errors[name] or outcome.warmup.errors.counts[name] for name in WRONG):
        return ERROR_REPLY
    if not outcome.measured.ok:
        return ERROR_REPLY if outcome.measured.replies else NOT_CONNECTED
    config = outcome.config
    if (config.require_valid or config.thresholds) and not outcome.verdict.valid:
        return NOT_VALID
    if outcome.aborted is not None or not all(threshold.ok for threshold in outcome.thresholds):
        return THRESHOLD_FAILED
    return FILES_LOST if files_lost else DONE
