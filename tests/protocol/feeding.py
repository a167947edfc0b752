"""How do the tests of this package feed bytes in every way?

`every_way` is h11's habit: the same bytes whole, byte by byte, cut in two at every place, and
with other bytes behind them must mean the same. Not here: what they should mean.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from protocol import CLIENT, SERVER, Codec, Connection, EndOfInput, Failed, Header, Limits, Rejected
from protocol.events import Event

#: Longer streams are cut only near their ends and near the sizes at which large contents grow.
CUT_EVERYWHERE_BELOW = 1500


def server(codec: Codec | None = None, **limits: int) -> Connection:
    return Connection(codec or Codec(SERVER, Limits(**limits)))


def client(codec: Codec | None = None, **limits: int) -> Connection:
    return Connection(codec or Codec(CLIENT, Limits(**limits)))


_said = operator.attrgetter(*Header.__slots__)


def plain(event: Event) -> tuple[Any, ...]:
    """An event as something that compares by what it says: exceptions compare by identity."""
    header = getattr(event, "header", None)
    said = header and _said(header)
    if isinstance(event, (Rejected, Failed)):
        return (type(event), said, event.error.code, str(event.error))
    if isinstance(event, EndOfInput):
        return (type(event), event.truncated)
    content = getattr(event, "content", None)
    return (type(event), said, type(content), content)


def summary(connection: Connection) -> dict[str, Any]:
    """Everything about a connection that decides what happens next."""
    return {
        "state": connection.state,
        "in_flight": connection.in_flight,
        "asked": connection.asked,
        "persistent": connection.persistent,
        "granted": connection.granted,
        "closing": connection.closing,
        "mid_message": connection.mid_message,
        "buffered": connection.buffered,
        "large": connection.get_buffer() is not None,
    }


def cuts(data: bytes) -> Iterator[int]:
    """The places to cut a stream at: all, or of a long one those where something could go wrong."""
    if len(data) < CUT_EVERYWHERE_BELOW:
        yield from range(len(data) + 1)
        return
    last = len(data)
    near = (
        {*range(170), *range(last - 150, last + 1)} if last < 100_000 else {*range(0, 170, 5), *range(last - 9, last)}
    )
    for edge in (64 * 1024, 4 * 64 * 1024):
        near.update(range(edge - 150, edge + 151, 21))
    yield from sorted(place for place in near if 0 <= place <= len(data))


def every_way(
    data: bytes,
    role: str = SERVER,
    *,
    persistent: bool = False,
    eof: bool = False,
    tail: bytes = b"",
    **limits: int,
) -> tuple[list[Event], Connection]:
    """Feed `data` in every way, assert that all agree, return the events and the connection.

    `persistent` says keep-alive was settled beforehand, `eof` ends the input. `tail` is fed behind
    it in the same ways; it and its beginnings must not change the events that `data` alone gives.
    """
    shared = Codec(role, Limits(**limits))

    def fresh(codec: Codec | None = None) -> Connection:
        connection = Connection(codec or Codec(role, Limits(**limits)))
        connection.persistent = persistent
        return connection

    def fed(connection: Connection, *parts: bytes) -> list[Event]:
        events = [event for part in parts for event in connection.receive_data(part)]
        return events + (connection.receive_eof() if eof else [])

    whole = fresh()
    events = fed(whole, data + tail)
    expected = [plain(event) for event in events], summary(whole)

    def agrees(connection: Connection, *parts: bytes) -> None:
        got = [plain(event) for event in fed(connection, *parts)], summary(connection)
        assert got == expected, f"fed as {[len(part) for part in parts][:8]}"

    stream = data + tail
    agrees(fresh(shared), stream)  # fills the shared cache
    agrees(fresh(shared), stream)  # and reads from it
    step = 1 if len(stream) < 100_000 else 7  # byte by byte, where that is bearable
    agrees(fresh(), *(stream[i : i + step] for i in range(0, len(stream), step)))
    agrees(fresh(shared), *(stream[i : i + 3 * step] for i in range(0, len(stream), 3 * step)))
    agrees(fresh(), b"", stream, b"")
    agrees(fresh(), *map(bytes, _mutable_parts(stream)))
    for place in cuts(stream):
        agrees(fresh(shared), stream[:place], stream[place:])
    if tail and not eof:
        _tail_changes_nothing(fresh, shared, data, tail)
    return events, whole


def _mutable_parts(stream: bytes) -> list[memoryview]:
    """In two halves of a buffer, as a transport that reuses its receive buffer would have them."""
    buffer = memoryview(bytearray(stream))
    return [buffer[: len(buffer) // 2], buffer[len(buffer) // 2 :]]


def _tail_changes_nothing(fresh: Any, shared: Codec, data: bytes, tail: bytes) -> None:
    alone = fresh(shared)
    events = [plain(event) for event in alone.receive_data(data)]
    for place in {*range(4), *range(0, len(tail), 13), len(tail)}:
        connection = fresh(shared)
        got = [plain(event) for event in connection.receive_data(data + tail[:place])]
        assert got[: len(events)] == events, f"{place} bytes behind it changed what it means"
