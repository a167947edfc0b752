"""How are many whole replies read in one step?

The walk through RECEIVE, state by state and event by event, is how a reply is *understood*. Most
replies need no such care: they came whole, between two others, with a header seen before.
`read_replies` takes each of them from PROTOHEADER through JSONHEADER and CONTENT and back in one
step: what `libserver.dispatcher` does for a server's requests, for a client's replies.

Rules:

* It stops at the first reply that is anything but ordinary (partial, refused, `close`, an event,
  unreadable, one that nobody asked for). The walk goes on from there, so it may always give up.
* It must equal the walk: the same bytes give the same replies and leave the same state. Tests feed
  both the same bytes whole, bytewise, at every cut and with a tail.
* With an observer attached it is not used: every transition is then reported by the walk.

It pays for itself under load: without it 64 connections at depth 16 read half as many replies.

Not here: what a reply answers (`libclient.message`).
"""

from __future__ import annotations

from protocol import Connection, Header
from protocol.content import scan_once
from protocol.errors import BadHeader
from protocol.states import PROTOHEADER

__all__ = ["can_read_replies", "read_replies"]


def can_read_replies(connection: Connection) -> bool:
    """Is a kept-alive connection between replies, with some to come and nobody watching?"""
    return (
        connection.state is PROTOHEADER
        and connection.persistent
        and connection.in_flight > 0
        and connection.observer is None
        and not connection.mid_message
    )


def read_replies(
    connection: Connection, data: bytes, most: int | None = None
) -> tuple[list[tuple[Header, object]], int]:
    """Read the ordinary whole replies at the front of `data`, at most so many.

    Returns them, in order, as header and value, and how many bytes of `data` were taken. Requires
    `can_read_replies(connection)`; counts them off its `in_flight`.
    """
    codec = connection.codec
    headers = codec.headers
    max_header = codec.limits.max_header
    replies: list[tuple[Header, object]] = []
    at = 0
    available = len(data)
    most = connection.in_flight if most is None else min(most, connection.in_flight)
    while available - at > 2 and len(replies) < most:
        start = at + 2 + (data[at] << 8 | data[at + 1])
        framed = data[at:start]
        header = headers.get(framed)
        if header is None:
            if start > available or not 0 < start - at - 2 <= max_header:
                break
            try:
                header = codec.header(framed)
            except BadHeader:
                break
        end = start + header.content_length
        if end > available or not header.is_plain:
            break
        value: object = data[start:end]
        if header.is_json:
            decode = header.decode
            try:
                text = data[start:end].decode() if decode is None else decode(data[start:end], "strict")[0]
                value, scanned = scan_once(text, 0)
            except Exception:  # a codec may raise what it likes
                break  # the walk finds the words for it
            if scanned != len(text):
                break
        replies.append((header, value))
        at = end
    connection.in_flight -= len(replies)
    return replies, at
