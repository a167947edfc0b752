"""How does a reply show the value that a request asked about?

As Python's `str` does: `No match for '[1, 2]'.` is the tutorial's. But `str` takes up to a third of a
second for a megabyte of lists within lists, in which a server serves nobody else, and a value may be
large where its answer need not be.

Rules:

* What is shown whole is exactly what `str` says.
* No more than `SHOWN` characters, and no more time than these take. What was cut ends in `...`.

Not here: text that must not act on a terminal (`protocol.printable`): a reply is data.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SHOWN", "shown"]

#: Characters. Larger than what anybody reads, so that only who sends megabytes sees the cut.
SHOWN = 64 * 1024

#: Stands at the end of what was cut.
CUT = "..."


def shown(value: Any) -> str:
    """A decoded JSON value as text."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, (list, dict)):
        parts: list[str] = []
        _write(value, parts, SHOWN)
        text = "".join(parts)
    else:
        text = str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + CUT


def _write(value: Any, parts: list[str], room: int) -> int:
    """Add `repr(value)` to the parts, or enough of it; how much room is left, below 0 if there was too little."""
    if isinstance(value, dict):
        return _write_items(value, parts, room, "{", "}")
    if isinstance(value, list):
        return _write_items(value, parts, room, "[", "]")
    if isinstance(value, str):
        value = value[: max(0, room) + 1]
    text = repr(value)
    parts.append(text)
    return room - len(text)


def _write_items(items: Any, parts: list[str], room: int, opening: str, closing: str) -> int:
    named = isinstance(items, dict)
    between = opening
    for item in items:
        if room < 0:
            return room
        parts.append(between)
        room = _write(item, parts, room - len(between))
        if named:
            parts.append(": ")
            room = _write(items[item], parts, room - 2)
        between = ", "
    end = closing if items else opening + closing
    parts.append(end)
    return room - len(end)
