"""What does a line of the log look like?

On stderr, one line per event. `text` is for people, `json` (one object per line) for machines.
The level `info` says what a person starting and stopping a server wants to know; a line per
connection is `debug`.

Rule: the loop never waits for whoever reads the log. A line is written by a thread of its own;
while nobody reads (a pipe into a program that has stopped, a terminal with Ctrl-S) at most
`MOST_WAITING` characters wait. Later lines are counted and lost, and the log says how many
once it can be written again. At the end what still waits is given `FLUSH_WITHIN` seconds.

Not here: what is logged, and when.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import sys
import threading
import time
from typing import Any

from protocol.printable import printable, printable_json

__all__ = ["ANSWERS", "FORMATS", "LEVELS", "flush_log", "set_up_logging"]

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

#: The logger of what was asked for (where it listens, the list of connections): said at every level.
ANSWERS = "multiconn.answers"

#: Characters that may wait to be written: a list of a hundred thousand connections.
MOST_WAITING = 16 * 1024 * 1024
#: Seconds that the end of the program may wait for them.
FLUSH_WITHIN = 1.0


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (seconds since the epoch), `level`, `logger`, `message`, `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return printable_json(fields)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00 warning: message`; information comes bare, as an answer to the command.

    A traceback follows, indented: what an exception says can't begin a line of the log.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = printable(record.getMessage())
        if record.levelno != logging.INFO:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
            text = f"{stamp} {record.levelname.lower()}: {text}"
        if record.exc_info:
            lines = self.formatException(record.exc_info).split("\n")
            text += "".join(f"\n    {printable(line)}" for line in lines)
        return text


class Writer(logging.Handler):
    """Writes lines to a stream from a daemon thread. May be used from any thread and any signal handler.

    `flush` is called by `logging` itself when the interpreter ends.

    Not `logging.handlers.QueueHandler`: its queue's lock is held while a line is put there, and
    a signal handler that logged at that moment would wait for ever for what it interrupted.
    `SimpleQueue` is made for that.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        self.lost = 0  # lines; these two are only changed by emit, the other two by the thread
        self._put = 0  # characters
        self._taken = 0
        self._told = 0  # lines that were lost and said to be
        threading.Thread(target=self._work, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            if self._put - self._taken < MOST_WAITING:
                self._put += len(line)
                self._lines.put(line)
            else:
                self.lost += 1

    def flush(self) -> None:
        """Wait until all that was logged before is written, or for `FLUSH_WITHIN` seconds."""
        written = threading.Event()
        self._lines.put(written)
        written.wait(FLUSH_WITHIN)

    def close(self) -> None:
        """End the thread once all is written; nobody waits for it."""
        self._lines.put(None)
        super().close()

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            if isinstance(line, threading.Event):
                line.set()
            else:
                self._write(line)
                self._taken += len(line)
            if self.lost > self._told and self._lines.empty():
                lost = self.lost - self._told
                self._told += lost
                self._write(self.format(self._loss(lost)))

    @staticmethod
    def _loss(count: int) -> logging.LogRecord:
        text = "%d lines of the log were lost: nobody read it for a while"
        return logging.LogRecord("multiconn.log", logging.WARNING, __file__, 0, text, (count,), None)

    def _write(self, line: str) -> None:
        try:
            try:
                number = self._stream.fileno()
            except (AttributeError, OSError):  # no file: a test's, or None because there is no stderr
                self._stream.write(line + "\n")
                return
            # Not by the stream: the thread may be in the middle of this when the interpreter ends,
            # which needs the stream's lock for its own last flush.
            data = memoryview((line + "\n").encode(errors="backslashreplace"))
            while data:
                try:
                    data = data[os.write(number, data) :]
                except BlockingIOError:  # somebody else has made it non-blocking
                    select.select((), (number,), ())
        except Exception:
            pass  # a log that can't be written never harms the server


def set_up_logging(level: str, form: str) -> None:
    """Send the project's log to stderr. A log that can't be written never harms the server."""
    handler = Writer(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logger = logging.getLogger("multiconn")
    for old in logger.handlers:
        old.close()
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.getLogger(ANSWERS).setLevel(logging.INFO)
    logging.raiseExceptions = False


def flush_log() -> None:
    """Give what is still to be written its time, before something else is written or the process ends."""
    for handler in logging.getLogger("multiconn").handlers:
        handler.flush()
