"""Which bytes went one way on a connection, and which part of which message is each?

A `Stream` puts together what the two ends recorded of one direction: the bytes, as far as one of them
kept them, and the parts of the frames, from the end that knew more. The bytes of a partial
part are a part too, and bytes thrown away after the framing was lost are `lost`.

Not here: the decoding (`study.frame_parts` did it when the trace was written), when which byte moved
(`study.match_ends`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from protocol.printable import printable
from protocol.states import FAILED, FRAMING_LOST, RECEIVE

from .frame_parts import CONTENT, HEADER, LOST, PREFIX, PREFIX_LENGTH
from .match_ends import reach
from .push import event_in_words, event_of
from .schema import is_count
from .trace import PART, TRANSITION, Event

__all__ = ["Stream"]

#: Contents above this are not looked into for an error code; an error reply is short.
_LOOK_INTO = 65536
#: Characters of a header that are shown.
_HEADER_SHOWN = 400
#: Characters of an event in words.
_EVENT_SHOWN = 200


class Stream:
    """One direction of a connection: `sender` and `receiver` are what its two ends recorded, maybe nothing."""

    def __init__(self, sender: list[Event], receiver: list[Event], machine_of: list[Event]) -> None:
        self.runs = list(_runs([*_chunks(sender, "out"), *_chunks(receiver, "in")]))
        told = max(_parts(sender, "out"), _parts(receiver, "in"), key=len)
        self.length = max([0, *(reach(e, "out") for e in sender), *(reach(e, "in") for e in receiver)])
        self.regions: list[dict[str, Any]] = [_region(part.data) for part in told]
        self._begin_the_rest(_lost_from(machine_of))
        self.where = {(region["kind"], region["message"]): index for index, region in enumerate(self.regions)}

    def _begin_the_rest(self, lost: int | None) -> None:
        """What has come of a part that is not whole, and what was given up."""
        nothing: dict[str, Any] = {"kind": CONTENT, "offset": 0, "length": 0, "message": -1}
        last = self.regions[-1] if self.regions else nothing
        begun = last["offset"] + last["length"]
        if begun < self.length:
            kind, expected = _following(last)
            message = last["message"] + (last["kind"] == CONTENT)
            rest = {"kind": kind, "message": message, "offset": begun, "length": self.length - begun}
            self.regions.append(rest | {"expected": expected})
        if lost is not None and lost < self.length:
            kept = [region for region in self.regions if region["offset"] < lost]
            message = kept[-1]["message"] if kept else 0
            if kept and kept[-1]["offset"] + kept[-1]["length"] > lost:
                kept[-1] = {"expected": kept[-1]["length"]} | kept[-1] | {"length": lost - kept[-1]["offset"]}
            rest = {"kind": LOST, "message": message, "offset": lost, "length": self.length - lost, "expected": None}
            self.regions = [*kept, rest]

    def read(self, offset: int, length: int) -> bytes | None:
        """These bytes, if all of them were kept."""
        for begin, data in self.runs:
            if begin <= offset and offset + length <= begin + len(data):
                return bytes(data[offset - begin : offset - begin + length])
        return None

    def mark_errors(self) -> None:
        """Which contents are error replies (docs/look-up/wire.md, "Errors")?"""
        for region in self.regions:
            if region["kind"] == CONTENT and "expected" not in region and region["length"] <= _LOOK_INTO:
                code = _error_code(self.read(region["offset"], region["length"]))
                if code is not None:
                    region["error"] = code

    def number_replies(self, requests: int) -> None:
        """An event answers no request. So where there is one, say of what came behind it which request that answers."""
        pushed = {region["message"] for region in self.regions if region["kind"] == HEADER and "event" in region}
        before = 0  # events
        seen: set[int] = set()
        for region in self.regions:
            message = region["message"]
            if message not in seen:
                seen.add(message)
                before += message in pushed
            behind_prefix = region["kind"] != PREFIX  # at that one nobody can know
            if before and behind_prefix and message not in pushed and message - before < requests:
                region["answers"] = message - before

    def packed(self) -> dict[str, Any]:
        return {
            "length": self.length,
            "regions": self.regions,
            "runs": [[begin, b64encode(data).decode()] for begin, data in self.runs],
        }


def _chunks(events: list[Event], direction: str) -> Iterator[tuple[int, bytes]]:
    for event in events:
        if reach(event, direction):
            yield event.data["offset"], bytes.fromhex(event.data["bytes"])


def _runs(chunks: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytearray]]:
    """The bytes that were kept, joined where they touch."""
    begin, run = 0, bytearray()
    for offset, data in sorted(chunks, key=lambda chunk: chunk[0]):
        end = begin + len(run)
        if offset > end:
            if run:
                yield begin, run
            begin, run = offset, bytearray(data)
        else:
            run += data[end - offset :]
    if run:
        yield begin, run


def _parts(events: list[Event], direction: str) -> list[Event]:
    return [event for event in events if event.name == PART and event.data["direction"] == direction]


def _region(data: dict[str, Any]) -> dict[str, Any]:
    region = {"kind": data["part"], "message": data["message"], "offset": data["offset"], "length": data["length"]}
    value = data.get("value")
    length = value.get("content-length") if isinstance(value, dict) else value
    if data["part"] != CONTENT and is_count(length):
        region["next"] = length
    if data["part"] == HEADER:
        region["text"] = _shown(value)
    event = event_of(data) if data["part"] == HEADER else event_in_words(value)
    if event is not None:
        region["event"] = printable(event, _EVENT_SHOWN)
    return region


def _shown(value: object) -> str:
    """A header as text: it may hold NaN, which is JSON for Python alone."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "that is nested too deeply to be shown"
    return text if len(text) <= _HEADER_SHOWN else text[:_HEADER_SHOWN] + "…"


def _following(region: dict[str, Any]) -> tuple[str, int | None]:
    """What part comes after a whole one, and how long it will be."""
    if region["kind"] == CONTENT:
        return PREFIX, PREFIX_LENGTH
    length = region.get("next")
    if region["kind"] == PREFIX:
        return (HEADER, length) if length else (LOST, None)
    return (CONTENT, length) if length is not None else (LOST, None)


def _lost_from(receiver: list[Event]) -> int | None:
    """From which byte on has the receiver thrown away what came? None if it never did."""
    come = whole = 0
    for event in receiver:
        come = reach(event, "in") or come
        if event.name == PART and event.data["direction"] == "in":
            whole = event.data["offset"] + event.data["length"]
        if event.name == TRANSITION and event.data["machine"] == RECEIVE.name and event.data["target"] == FAILED:
            return whole if event.data["input"] == FRAMING_LOST else come
    return None


def _error_code(content: bytes | None) -> str | None:
    if content is None or b'"error"' not in content:
        return None
    try:
        code = json.loads(content)["error"]["code"]
    except (ValueError, RecursionError, TypeError, KeyError, LookupError):
        return None
    return code if isinstance(code, str) else None
