"""What does a line of the log look like?

On stderr, one line per event. `text` is for people, `json` (one object per line) for machines.
The level `info` says what a person starting and stopping a server wants to know; a line per
connection is `debug`.
"""

from __future__ import annotations

import json
import logging
import sys
import time

__all__ = ["ANSWERS", "FORMATS", "LEVELS", "set_up_logging"]

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

#: The logger of what was asked for (where it listens, the list of connections): said at every level.
ANSWERS = "multiconn.answers"


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
        return json.dumps(fields, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00 warning: message`; information comes bare, as an answer to the command."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.levelno != logging.INFO:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
            text = f"{stamp} {record.levelname.lower()}: {text}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def set_up_logging(level: str, form: str) -> None:
    """Send the project's log to stderr. A log that can't be written never harms the server."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logger = logging.getLogger("multiconn")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.getLogger(ANSWERS).setLevel(logging.INFO)
    logging.raiseExceptions = False
