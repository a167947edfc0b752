"""What does a trace look like on disk?

JSON text sequences (RFC 7464): each record is a record separator, a JSON object, a line feed. The
first says what the file is, in the envelope of qlog's main schema; the others are events. Written
record by record, so a crash costs at most the last one, which a reader recognises by its missing
line feed and leaves out.

    {"file_schema": "urn:ietf:params:qlog:file:sequential", "serialization_format": "application/qlog+json-seq", ...}
    {"time": 12.345, "name": "multiconn:syscall", "group_id": "7", "data": {"call": "recv", "result": 118, ...}}

The events, each with its fields: docs/look-up/trace-format.md.

Not here: recording (`study.recorder`), reading (`study.explain`, `study.view`, ...).
The envelope is qlog's (draft-ietf-quic-qlog-main-schema), so that its readers can at least list ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

__all__ = [
    "CONNECTION",
    "ENDED",
    "LEVELS",
    "MASK",
    "PART",
    "SCHEMA",
    "SYSCALL",
    "TRANSITION",
    "WAKE",
    "BadTrace",
    "Event",
    "Trace",
    "encode",
    "head",
    "load",
]

RECORD_SEPARATOR = b"\x1e"

SCHEMA = "urn:multiconn:qlog:events-1"
FILE_SCHEMA = "urn:ietf:params:qlog:file:sequential"
FORMAT = "application/qlog+json-seq"

#: Every event's name begins so, as qlog asks.
NAMESPACE = "multiconn:"

CONNECTION = "connection"
WAKE = "wake"
SYSCALL = "syscall"
PART = "part"
TRANSITION = "transition"
MASK = "mask"
LEVELS = "levels"
ENDED = "ended"

EVENTS = (CONNECTION, WAKE, SYSCALL, PART, TRANSITION, MASK, LEVELS, ENDED)


class BadTrace(Exception):
    """This is no trace, or not one of ours; the text says what to do."""


@dataclass(slots=True)
class Event:
    """One record: `time` in milliseconds since the trace's reference, `group` the connection's id."""

    time: float
    name: str
    group: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Trace:
    """A whole file. `truncated`: its last record had not been written whole and was left out."""

    vantage: str
    head: dict[str, Any]
    events: list[Event]
    truncated: bool = False

    @property
    def groups(self) -> dict[str, list[Event]]:
        """The events of each connection, in order of its first."""
        found: dict[str, list[Event]] = {}
        for event in self.events:
            found.setdefault(event.group, []).append(event)
        return found

    @property
    def reference(self) -> float:
        """Seconds since the epoch at time 0."""
        return float(self.head["trace"]["common_fields"]["reference_time"]["wall_clock_s"])


# --- writing -------------------------------------------------------------------------------


#: Made once: `json.dumps` makes one for each record that is not in its default form.
_compact = json.JSONEncoder(separators=(",", ":")).encode


def _record(value: object) -> bytes:
    return RECORD_SEPARATOR + _compact(value).encode() + b"\n"


def head(vantage: str, wall_clock: float, title: str, **settings: object) -> bytes:
    """The first record. `vantage` is "server" or "client", `wall_clock` seconds since the epoch at time 0."""
    return _record(
        {
            "file_schema": FILE_SCHEMA,
            "serialization_format": FORMAT,
            "title": title,
            "trace": {
                "vantage_point": {"type": vantage},
                "event_schemas": [SCHEMA],
                "common_fields": {
                    "time_format": "relative_to_epoch",
                    "reference_time": {"clock_type": "monotonic", "epoch": "unknown", "wall_clock_s": wall_clock},
                    **settings,
                },
            },
        }
    )


def encode(time: float, name: str, group: str, data: dict[str, Any]) -> bytes:
    """An event's record; `time` in milliseconds."""
    return _record({"time": round(time, 3), "name": NAMESPACE + name, "group_id": group, "data": data})


# --- reading -------------------------------------------------------------------------------


def load(source: Path | IO[bytes]) -> Trace:
    """Read a trace. Raises `BadTrace` for another file, `OSError` for an unreadable one."""
    raw = source.read_bytes() if isinstance(source, Path) else source.read()
    records = raw.split(RECORD_SEPARATOR)
    if records[0] or len(records) < 2:
        raise BadTrace("this is not a trace: it does not begin with a JSON text sequence (RFC 7464)")
    truncated = not records[-1].endswith(b"\n")
    if truncated:
        records.pop()
    values = list(_values(records[1:]))
    if not values:
        raise BadTrace("the trace has no head: it was cut off before its first record was whole")
    first = values[0]
    try:
        known = SCHEMA in first["trace"]["event_schemas"]
        vantage = first["trace"]["vantage_point"]["type"]
    except (KeyError, TypeError):
        raise BadTrace("this is not a trace: its first record is no qlog head") from None
    if not known:
        raise BadTrace(f"this trace does not use the event schema {SCHEMA}: it was not made by this project")
    return Trace(vantage, first, list(_events(values[1:])), truncated)


def _values(records: Iterable[bytes]) -> Iterator[Any]:
    for number, record in enumerate(records, 1):
        try:
            yield json.loads(record)
        except ValueError as error:
            raise BadTrace(f"record {number} of the trace is not JSON: {error}") from None


def _events(values: Iterable[Any]) -> Iterator[Event]:
    for number, value in enumerate(values, 2):
        try:
            name = value["name"].removeprefix(NAMESPACE)
            yield Event(float(value["time"]), name, str(value["group_id"]), value["data"])
        except (KeyError, TypeError, AttributeError, ValueError):
            raise BadTrace(f"record {number} of the trace is no event") from None
