"""Is each event of a trace as docs/look-up/trace-format.md says?

A trace may come from a stranger, and from a later version. `check` looks first: each event has the
fields of its name, and each field is of its kind, so that later code need not ask.

Rules:

* It ignores unknown fields, and events of unknown names.
* An error names its event: which, of which connection, when.

Not here: whether the file is a trace at all (`study.trace.load`), whether what it says can be true
(`study.replay`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .explain import INTEREST, READY
from .frame_parts import CONTENT, HEADER, PREFIX
from .trace import CONNECTION, ENDED, LEVELS, MASK, PART, SYSCALL, TRANSITION, WAKE, BadTrace, Event

__all__ = ["check", "is_count"]

#: Milliseconds from the reference that a time may be away: thirty years.
_FAR = 1e12


def is_count(value: object) -> bool:
    """Is it a number of things, one that JavaScript can count to as well?"""
    return isinstance(value, int) and value is not True and value is not False and 0 <= value < 1 << 53


def _text(value: object) -> bool:
    return isinstance(value, str)


def _text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _integer(value: object) -> bool:
    return is_count(value) or (isinstance(value, int) and -(1 << 53) < value < 0)


#: What an event of each name must have, and of what kind.
_MUST: dict[str, dict[str, Callable[[Any], bool]]] = {
    CONNECTION: {"fd": _integer, "local": _text_or_none, "peer": _text_or_none},
    WAKE: {"ready": READY.__contains__},
    SYSCALL: {"call": _text, "result": lambda value: _text(value) or _integer(value)},
    PART: {
        "direction": ("in", "out").__contains__,
        "part": (PREFIX, HEADER, CONTENT).__contains__,
        "message": is_count,
        "offset": is_count,
        "length": is_count,
    },
    TRANSITION: dict.fromkeys(("machine", "state", "input", "target", "reason", "source"), _text),
    MASK: {"before": INTEREST.__contains__, "after": INTEREST.__contains__},
    LEVELS: {},
    ENDED: {},
}
#: What it may have besides.
_MAY: dict[str, Callable[[Any], bool]] = {
    "source": _text,
    "asked": is_count,
    "offset": is_count,
    "direction": ("in", "out").__contains__,
    "bytes": lambda value: _text(value) and re.fullmatch("(?:[0-9a-f]{2})*", value) is not None,
    "to": _text,
    "topic": _text,
    "buffered": is_count,
    "queued": is_count,
    "in_flight": is_count,
    "waiting": is_count,
    "subscriptions": is_count,
    "undelivered": is_count,
    "timers": lambda value: isinstance(value, list) and all(map(_text, value)),
    "reason": _text_or_none,
}


def check(events: list[Event]) -> None:
    """Raises `BadTrace` for an event that is not as docs/look-up/trace-format.md says."""
    for event in events:
        data = event.data
        must = _MUST.get(event.name, {})
        try:
            wrong = [name for name, good in must.items() if not good(data[name])]
            wrong += [name for name in data if name in _MAY and name not in must and not _MAY[name](data[name])]
            wrong += [] if is_count(data["step"]) else ["step"]
            wrong += [] if -_FAR < event.time < _FAR else ["time"]
            if event.name == SYSCALL and data["call"] == "connect" and "to" not in data:
                wrong.append("to")
            if event.name == SYSCALL and "direction" in data and _integer(data["result"]):
                wrong += [name for name in ("result", "offset", "asked", "bytes") if name not in data]
                wrong += [] if is_count(data["result"]) else ["result"]
        except (KeyError, TypeError) as error:
            wrong = [str(error.args[0]) if isinstance(error, KeyError) else "data"]
        if wrong:
            raise BadTrace(
                f"the event {event.name} of connection {event.group} at {event.time} ms has no usable {wrong[0]}"
            )
