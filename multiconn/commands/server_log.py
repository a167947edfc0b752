"""What does a line of the log look like?

On stderr, one line per event. `text` is for people, `json` (one object per line) for machines; both
have the words and the fields that `extra={...}` gave the record: event, connection, peer. The level
`info` says what an operator starting and stopping a server wants to know; a line per connection is
`debug`. The application's own loggers write here too.

Rule: the loop never waits for the reader of the log. A thread of its own writes the lines; while no
program reads (a pipe into a stopped program, a terminal with Ctrl-S) at most `MOST_WAITING`
characters wait. The log counts and drops later lines, and says how many once it can write again. At
the end, waiting lines have `FLUSH_WITHIN` seconds.

Not here: what the server logs, and when.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import select
import signal
import sys
import threading
import time
from typing import Any

from protocol.printable import printable, printable_json

__all__ = ["ANSWERS", "DETAILS", "FORMATS", "LEVELS", "check_logging", "flush_log", "set_up_logging"]

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

#: The logger of answers (the real addresses, the list of connections): logged at every level.
ANSWERS = "multiconn.answers"

#: The project's own loggers begin so.
OURS = "multiconn"

#: Characters that may wait to be written: a list of a hundred thousand connections.
MOST_WAITING = 16 * 1024 * 1024
#: Seconds that the end of the program may wait for them.
FLUSH_WITHIN = 1.0


#: A record's own attributes. All others are fields, of `extra={...}`.
_OWN = frozenset([*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"])

#: Characters of a field's value in a line of text. In JSON all are there.
FIELD = 200

#: A field of fields, in JSON only: a line of text has them in its words.
DETAILS = "details"


def _is_ours(name: str) -> bool:
    return name == OURS or name.startswith(f"{OURS}.")


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a record, by name."""
    return {name: value for name, value in vars(record).items() if name not in _OWN}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (seconds since the epoch), `level`, `logger`, `message`, then the
    record's fields, and `traceback`. Values other than text, numbers and dictionaries become text."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = fields_of(record)
        for name, value in {**fields.pop(DETAILS, {}), **fields}.items():
            line.setdefault(name, value)  # the four are always what they say
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return printable_json({name: _carried(value) for name, value in line.items()})


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # no value of an application may cost the line
        return f"({type(error).__name__})"


def _carried(value: object) -> object:
    if isinstance(value, dict):
        return {_text(name): _carried(each) for name, each in value.items()}
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _text(value)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000 warning: message; field=value field=value`.

    Answers to the operator (`ANSWERS`) come bare; lines of other loggers than the server's bear the
    logger's name. A traceback follows, indented: an exception's words can't begin a line of the log.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = printable(record.getMessage())
        if record.name != ANSWERS:
            level = record.levelname.lower()
            if not _is_ours(record.name):
                level += f" {printable(record.name)}"
            text = f"{_stamp(record)} {level}: {text}"
        fields = fields_of(record)
        fields.pop(DETAILS, None)
        if fields:
            text += "; " + " ".join(f"{printable(name)}={_value(value)}" for name, value in fields.items())
        if record.exc_info:
            lines = self.formatException(record.exc_info).split("\n")
            text += "".join(f"\n    {printable(line)}" for line in lines)
        return text


def _stamp(record: logging.LogRecord) -> str:
    """Local time, to the millisecond."""
    seconds, millis = divmod(int(record.created * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(seconds))}.{millis:03d}"


def _value(value: object) -> str:
    """In quotes where it would not be clear where it ends."""
    text = printable(_text(value), FIELD)
    if text and not any(char in text for char in ' "='):
        return text
    return '"' + text.replace('"', '\\"') + '"'


class Writer(logging.Handler):
    """Writes lines to a stream from a daemon thread. May be used from any thread and any signal handler.

    `flush` is called by `logging` itself when the interpreter ends.

    Not `logging.handlers.QueueHandler`: `put` holds its queue's lock, and a signal handler that logged at
    that moment would wait for ever for the code it interrupted. `SimpleQueue` is made for that.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        self.lost = 0  # lines; these two are only changed by emit, the other two by the thread
        self._put = 0  # characters
        self._taken = 0
        self._told = 0  # lost lines that the log has reported
        self.closed = False
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
        """Wait until all earlier lines are written, or for `FLUSH_WITHIN` seconds."""
        written = threading.Event()
        self._lines.put(written)
        written.wait(FLUSH_WITHIN)

    def close(self) -> None:
        """End the thread once all is written, without waiting for it."""
        self.closed = True
        self._lines.put(None)
        super().close()

    def _work(self) -> None:
        # A signal goes to any thread that takes it, and this one often comes out of a system call just then. The
        # main thread, whose handler is to run, would sleep on. (Handlers' threads may not do this: it is inherited
        # by the programs that they start.)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
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
        text = "%d lines of the log were lost: no program read it for a while"
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
                except BlockingIOError:  # another process has made it non-blocking
                    select.select((), (number,), ())
        except Exception:
            pass  # a log that can't be written never harms the server


def set_up_logging(level: str, form: str) -> None:
    """Send the log of project and application to stderr. A log that can't be written never harms the server."""
    handler = Writer(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root, logger = logging.root, logging.getLogger(OURS)
    for old in logger.handlers:
        root.removeHandler(old)
        old.close()
    logger.handlers = [handler]
    logger.propagate = False
    logging.getLogger(ANSWERS).setLevel(logging.INFO)
    root.addHandler(handler)  # before the application is imported: its own `basicConfig` then changes nothing
    for one in (root, logger):
        one.setLevel(level.upper())
    logging.raiseExceptions = False


def check_logging(level: str, form: str) -> None:
    """The application has been imported: if its `dictConfig` took our log away with all others, set ours up again."""
    for name, logger in logging.root.manager.loggerDict.items():
        if _is_ours(name) and isinstance(logger, logging.Logger):
            logger.disabled = False
    if any(handler.closed for handler in logging.getLogger(OURS).handlers if isinstance(handler, Writer)):
        root = logging.root
        own = None if any(isinstance(handler, Writer) for handler in root.handlers) else ([*root.handlers], root.level)
        set_up_logging(level, form)
        if own is not None:  # the application has handlers of its own, and they are enough
            root.handlers = own[0]
            root.setLevel(own[1])


def flush_log() -> None:
    """Give waiting lines their time, before other output or the end of the process."""
    for handler in logging.getLogger("multiconn").handlers:
        handler.flush()
