"""What does the server do on a signal, even while its loop stands still?

    SIGTERM, SIGINT    drain; a second one stops at once
    SIGUSR1            the list of connections, in the log
    SIGHUP, SIGUSR2    have no meaning yet: the log says so, and the server serves on

Rules:

* The signal handler itself logs at once: the loop may be inside an action that never returns.
  (`server_log` works from there.) It hands the rest to the loop.
* A watchdog (SIGALRM) runs from the first signal: if the loop does not come back, the log says which
  action holds it, with its stack; at the drain timeout the process ends without it.
* Python calls a handler once for several signals of one number that came during one long call. Its
  C handler writes a byte for each (`signal.set_wakeup_fd`), so we count the bytes.

Python runs a signal's handler between two instructions of its own: one function in C that neither
returns nor looks for signals holds up everything here.

Not here: signals before the server exists (`app_server.py`), what a drain is (`libserver.server`).
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from types import FrameType, TracebackType

from libserver import Server
from libserver.server import in_words

from . import SIGNAL, STUCK
from .server_log import ANSWERS, DETAILS, flush_log

__all__ = ["Signals"]

#: Seconds the loop has to begin a drain, and to stop at a second signal or at the drain timeout: plenty to
#: close ten thousand connections.
STUCK_AFTER = 2.0
#: Seconds between two looks at the clock. Many, for one reason: a signal that comes right before a handler's
#: `time.sleep` waits until that ends, unless another signal interrupts it.
TICK = 0.25

ENDING = (signal.SIGTERM, signal.SIGINT)
OTHERS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

log = logging.getLogger("multiconn.server")
answers = logging.getLogger(ANSWERS)


class Signals:
    """The handlers of one process's one server. `second` is the number of the signal that stopped it, or None."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._first: int | None = None
        self.second: int | None = None
        self._began = 0.0  # when the first one came
        self._told_stuck = False
        self._ticks = False
        self._look_at = math.inf
        self._handled = self._heard_of = 0  # signals that end: by handlers, by the kernel's bytes
        server.loop.wake_on_signals(self._heard)
        for number in ENDING:
            signal.signal(number, self._end)
        signal.signal(signal.SIGUSR1, self._list)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGUSR2, self._hand_over)

    def over(self) -> None:
        """The server has ended; one more signal changes nothing."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (*ENDING, *OTHERS):
            signal.signal(number, signal.SIG_IGN)

    # --- ending ----------------------------------------------------------------------------

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._handled += 1
        self._server.loop.hear_signals()
        self._act(number)
        while self._heard_of > self._handled:  # of one number, and this is the only call
            self._handled += 1
            self._act(number)

    def _act(self, number: int) -> None:
        if self._first is None:
            self._first = number
            self._began = time.monotonic()
            log.info("Draining (%s)", signal.Signals(number).name)
            self._server.drain()
            timeout = self._server.limits.drain_timeout
            self._watch(min(STUCK_AFTER, timeout or STUCK_AFTER))
        else:
            self._stop(number)

    def _stop(self, number: int) -> None:
        self.second = number
        self._server.stop()
        self._watch(STUCK_AFTER)

    def _heard(self, numbers: bytes) -> None:
        """Python has read which signals have come: one of ours is followed, or was preceded, by a call of `_end`."""
        self._heard_of += sum(number in ENDING for number in numbers)

    # --- the watchdog ----------------------------------------------------------------------

    def _watch(self, seconds: float) -> None:
        self._look_at = time.monotonic() + seconds
        if not self._ticks:
            self._ticks = True
            signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, TICK, TICK)

    def _look(self, number: int, frame: FrameType | None) -> None:
        """The server has not ended: does its loop still turn?"""
        if time.monotonic() < self._look_at:
            return
        if self.second is not None:
            self._leave(SIGNAL + self.second, frame)
        timeout = self._server.limits.drain_timeout
        gone = time.monotonic() - self._began
        begun = self._server.draining  # the loop has come round since the signal
        limit = timeout + STUCK_AFTER * begun
        if timeout and gone >= limit:
            self._leave(STUCK, frame)
        if not begun and not self._told_stuck:
            self._told_stuck = True
            self._tell(logging.WARNING, f"no drain yet, {gone:.1f} s after the signal", frame)
        self._watch(max(0.0, limit - gone) if timeout else math.inf)

    def _leave(self, code: int, frame: FrameType | None) -> None:
        """End the process without the loop, which does not come back."""
        self._tell(logging.ERROR, "stopped in the middle of a handler that does not return", frame)
        self._server.remove_files()
        flush_log()
        os._exit(code)

    def _tell(self, level: int, what: str, frame: FrameType | None) -> None:
        name, traceback = _running(self._server, frame)
        who = "the loop is busy" if name is None else f"the action {name!r} has not returned (declare it blocking=True)"
        stuck = TimeoutError("this is where it is")
        log.log(level, "%s: %s", what, who, exc_info=(TimeoutError, stuck, traceback))

    # --- asking ------------------------------------------------------------------------------

    def _list(self, number: int, frame: FrameType | None) -> None:
        self._server.loop.call_soon_threadsafe(self._log_connections)

    def _log_connections(self) -> None:
        listed = self._server.list_connections()
        answers.info("Open connections: %d, accepted: %d", len(listed), self._server.accepted)
        for details in listed:
            answers.info("%s", in_words(details), extra={DETAILS: {"event": "connection", **details}})

    def _reload(self, number: int, frame: FrameType | None) -> None:
        answers.info("SIGHUP: nothing to reload: options and actions are read once, at the start")

    def _hand_over(self, number: int, frame: FrameType | None) -> None:
        answers.info(
            "SIGUSR2: there is no hand-over yet: start a successor beside this one, both with --reuse-port, "
            "then send this one SIGTERM"
        )


def _running(server: Server, frame: FrameType | None) -> tuple[str | None, TracebackType | None]:
    """Which action is called in this stack, and the stack from its handler on; all of it if there is none."""
    name: str | None = None
    whole: TracebackType | None = None
    traceback: TracebackType | None = None
    while frame is not None:
        whole = TracebackType(whole, frame, frame.f_lasti, frame.f_lineno)
        found = server.actions.name_of(frame.f_code)
        if found is not None:  # handlers may call each other: the outermost is whom we called
            name, traceback = found, whole
        frame = frame.f_back
    return name, traceback or whole
