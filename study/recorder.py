"""How does a running server or client record what its state machines do?

A command (`multiconn.commands.tracing`) gives a `Recorder` to its server or client. It stands in three
places that the libraries leave open for it:

    observer()          one `Trail` per connection: gets every transition
    tap(message, sock)  a socket that notes each system call and its result, and passes it on
    selector(inner)     a selector that notes what woke a connection and every change of a mask

Each event belongs to a step: what one connection did in one turn of the loop. At the end of the
turn it notes changed levels (bytes buffered and queued, requests in flight, timers, messages that wait).

Rules:

* Off, there is nothing: no recorder, no wrapper, no call. With an observer the server
  takes requests one at a time, so that it takes every transition (docs/look-up/trace-format.md says what it costs).
* The connection goes first. An error here, a full disk or a mistake of ours, ends the recording,
  once, with a call of `failed`, and never reaches the connection.
* It keeps at most `max_bytes` bytes of each system call, and always the true count.
* A subscription's queue grows by what others publish: that is no row, and no step of its connection. So while
  messages wait for a connection, its levels are looked at in every turn.

Not here: the socket and the selector that it puts in between (`study.tracing_io`), the file (`study.trace`),
the parts of a frame (`study.frame_parts`), what to make of it all.
"""

from __future__ import annotations

import os
import selectors
import stat
import sys
import time
from collections.abc import Callable, Iterable
from typing import IO, Any

from protocol import states
from protocol.files import check_new, create
from protocol.printable import printable
from protocol.push import MAX_TOPIC
from protocol.states import CLOSED, DELIVERY, Machine, Row

from . import tracing_io
from .frame_parts import Splitter
from .trace import CONNECTION, ENDED, LEVELS, MASK, PART, SYSCALL, TRANSITION, WAKE, encode, head
from .tracing_io import Notes, TracedSelector, TracedSocket, in_words

__all__ = ["MAX_BYTES", "Recorder", "Trail", "start"]

#: Bytes kept of one system call's data.
MAX_BYTES = 4096
#: Seconds between two flushes of the file: what a kill may cost.
FLUSH_EVERY = 0.2

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def _words(mask: int) -> str:
    return ("r" if mask & READ else "") + ("w" if mask & WRITE else "")


def start(path: str, vantage: str, **options: Any) -> Recorder:
    """A recorder that `open` lets write to a new file at `path`.

    Raises `OSError` if the file exists, before the recorded program begins; `open` checks that again.
    """
    check_new(path)
    return Recorder(path, vantage, **options)


class Recorder:
    """Writes a trace to `file`, of every `sample`-th connection.

    `file` is open, or a path: then it records nothing before `open`. `vantage` is "server" or "client". `clock` is the
    loop's, in seconds; `wall_clock` the time of day when it began. `failed` gets, once, the
    reason why recording ended early.
    `settings` stand in the head: a replay needs `max_header`, `max_content` and `max_json`.
    """

    def __init__(
        self,
        file: IO[bytes] | str,
        vantage: str,
        *,
        sample: int = 1,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        failed: Callable[[Exception], None] = lambda error: None,
        **settings: object,
    ) -> None:
        self.max_bytes = max_bytes
        self.trails: dict[int, Notes] = {}  # by descriptor
        self.turn = 0
        self._path = file if isinstance(file, str) else None
        self._file = None if isinstance(file, str) else file
        self._wall_clock = wall_clock
        self._sample = sample
        self._clock = clock
        self._failed = failed
        self._count = 0  # connections seen
        self._touched: dict[Trail, None] = {}  # in this turn
        self._awaited: dict[Trail, None] = {}  # those for which messages wait
        self.on = False
        self._vantage = vantage
        self._settings = settings | {"sample": sample, "max_bytes": max_bytes}
        if self._path is None:
            self._begin()

    def open(self) -> None:
        """Create the file of that path, and begin. Raises `OSError`; then it records nothing."""
        if self._path is not None and self._file is None:
            self._file = create(self._path)
            self._begin()

    def _begin(self) -> None:
        self._begun = self._flushed = self._clock()
        self.on = True
        self._write(head(self._vantage, self._wall_clock(), f"multiconn {self._vantage}", **self._settings))

    def discard(self) -> None:
        """The recorded program never began: a trace of no connection only blocks the next one's file."""
        if self._path is not None and self.on and not self._count:
            self.close()
            try:
                if stat.S_ISREG(os.lstat(self._path).st_mode):
                    os.unlink(self._path)
            except OSError:
                pass

    # --- the three places --------------------------------------------------------------------

    def observer(self) -> Trail | None:
        """For one more connection; None if it is not in the sample."""
        self._count += 1
        if not self.on or (self._count - 1) % self._sample:
            return None
        return Trail(self, str(self._count))

    def tap(self, message: Any, sock: Any) -> Any:
        """The socket that `message`'s transport is to use."""
        trail = getattr(message.observer, "inner", message.observer)  # which is mostly isolated
        if not self.on or not isinstance(trail, Trail):
            return sock
        trail.message = message
        return TracedSocket(sock, trail)

    def selector(self, inner: selectors.BaseSelector | None = None) -> TracedSelector:
        return TracedSelector(self, inner if inner is not None else selectors.DefaultSelector())

    # --- what they tell ------------------------------------------------------------------------

    def note(self, trail: Trail, name: str, data: dict[str, Any]) -> None:
        """Write one event of `trail`. Raises what the file raises."""
        if self.on:
            self._touched[trail] = None
            self._write(encode((self._clock() - self._begun) * 1000, name, trail.group, data))

    def end_turn(self) -> None:
        """The loop is about to look again: what did this turn change?"""
        try:
            for trail in self._touched | self._awaited:
                trail.end_step()
            now = self._clock()
            if self.on and now - self._flushed >= FLUSH_EVERY:
                self._flushed = now
                assert self._file is not None
                self._file.flush()
        except Exception as error:
            self.fail(error)
        self._touched.clear()
        self.turn += 1

    def _write(self, record: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(record)
        except (OSError, ValueError) as error:  # full, gone, or closed elsewhere
            self.fail(error)

    def await_more(self, trail: Trail, waits: bool) -> None:
        """Look at its levels after each turn, or no longer."""
        if waits:
            self._awaited[trail] = None
        else:
            self._awaited.pop(trail, None)

    def fail(self, error: Exception) -> None:
        """Record no more; the records stay."""
        if self.on:
            self.on = False
            self._failed(error)

    def close(self) -> None:
        """Write what is left. The file is the recorder's to close."""
        self.end_turn()
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self.fail(error)
        self.on = False


class Trail:
    """The notes of one connection; the observer of its `Message` and `Connection`."""

    __slots__ = ("_levels", "_mask", "_parts", "_reason", "_step", "_turn", "_woken", "group", "message", "recorder")

    def __init__(self, recorder: Recorder, group: str) -> None:
        self.recorder = recorder
        self.group = group
        self.message: Any = None
        self._parts = {"in": Splitter(), "out": Splitter()}
        self._mask = ""
        self._woken = 0
        self._step = 0
        self._turn = -1
        self._levels: dict[str, Any] = {}
        self._reason: str | None = None

    # --- steps -----------------------------------------------------------------------------------

    def note(self, name: str, **data: Any) -> None:
        """One event in the step of this turn, which it begins if it is the first."""
        recorder = self.recorder
        if not recorder.on:
            return
        if self._turn != recorder.turn:
            self._turn = recorder.turn
            self._step += 1
            woken, self._woken = self._woken, 0
            if woken:
                recorder.note(self, WAKE, {"step": self._step, "ready": _words(woken)})
        recorder.note(self, name, {"step": self._step, **data})

    def wake(self, mask: int) -> None:
        """The selector has named it; noted when it acts, since the event may be stale by then."""
        self._woken = mask

    def end_step(self) -> None:
        message = self.message
        if message is None:
            return
        levels = message.gauges()
        if levels != self._levels:
            self._levels = levels
            self.note(LEVELS, **levels)
        self.recorder.await_more(self, bool(levels.get("undelivered")) and message.state is not CLOSED)
        if message.state is CLOSED:
            self.message = None
            self.recorder.note(self, ENDED, {"step": self._step, "reason": self._reason})

    # --- what it is told -------------------------------------------------------------------------

    def transition(self, subject: Any, machine: Machine, row: Row) -> None:
        """`subject` is the connection, or one of its subscriptions: of these there may be many."""
        try:
            whose = {"topic": printable(subject.topic, MAX_TOPIC)} if machine is DELIVERY else {}
            self.note(
                TRANSITION,
                machine=machine.name,
                state=row.state,
                input=row.input,
                target=row.target,
                reason=row.reason,
                source=_caller(),
                **whose,
            )
            if row.target is CLOSED and self.message is not None:
                self._reason = self.message.gauges().get("reason")  # which is forgotten before the turn ends
        except Exception as error:
            self.recorder.fail(error)

    def opened(self, sock: Any) -> None:
        def name(ask: Callable[[], Any]) -> str | None:
            try:
                return in_words(ask())
            except OSError:
                return None

        self.note(CONNECTION, fd=sock.fileno(), local=name(sock.getsockname), peer=name(sock.getpeername))

    def syscall(self, call: str, result: int | str, **data: Any) -> None:
        self.note(SYSCALL, call=call, result=result, source=_caller(), **data)

    def bytes(self, call: str, direction: str, asked: int, chunks: Iterable[Any], count: int) -> None:
        """`count` bytes went `direction`; they are the beginning of `chunks`."""
        offset = self._parts[direction].offset
        data = _first(chunks, count)
        kept = data[: self.recorder.max_bytes]
        self.syscall(call, count, asked=asked, direction=direction, offset=offset, bytes=kept.hex())
        for part in self._parts[direction].feed(data):
            fields: dict[str, Any] = {"direction": direction, "part": part.kind, "message": part.message}
            fields |= {"offset": part.offset, "length": part.length}
            if part.value is not None:
                fields["value"] = part.value
            self.note(PART, **fields)

    def masked(self, mask: int) -> None:
        words = _words(mask)
        if words != self._mask:
            before, self._mask = self._mask, words
            self.note(MASK, before=before, after=words, source=_caller())


def _first(chunks: Iterable[Any], count: int) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += memoryview(chunk)[: count - len(data)]
        if len(data) >= count:
            break
    return bytes(data)


#: Functions whose lines took no step: they look a row up, or note it.
_NOT_THEIRS = {__file__, tracing_io.__file__, states.__file__}


def _caller() -> str:
    """`package/module.py:LINE`: the line that took the step."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename in _NOT_THEIRS and frame.f_back is not None:
        frame = frame.f_back
    path = frame.f_code.co_filename.replace("\\", "/").rsplit("/", 2)
    return f"{'/'.join(path[-2:])}:{frame.f_lineno}"
