"""What do the replies say that came whole, one behind the other?

`protocol.frames.split` cuts them, as it cuts a server's requests, and their contents are decoded together. What is left
to say here is which header and which value each has.

Rules:

* It stops at the first reply that needs care: partial, refused, `close`, an event, unreadable, one that nobody asked
  for. The slow path (`Connection.next_event`) reads on from there.
* It must equal the slow path: the same bytes give the same replies and leave the same state. Tests feed
  both the same bytes whole, bytewise, at every cut and with a tail.
* With an observer attached it is not used: every transition is then reported by the slow path.

It pays for itself under load: without it 64 connections at depth 16 read half as many replies.

Not here: what a reply answers (`libclient.message`).
"""

from __future__ import annotations

from protocol import Codec, Header
from protocol.content import decode_contents, decode_text
from protocol.frames import one_whole, split

__all__ = ["whole_replies"]


def whole_replies(codec: Codec, data: bytes, most: int) -> tuple[list[tuple[Header, object]], int]:
    """The replies at the front of `data` that need no care, at most so many: header and value of each; and their bytes.

    `data` begins between two replies on a connection that is kept alive.
    """
    if most == 1:  # of a client that awaits each reply: columns for one would take longer than reading it
        one = one_whole(codec, data)
        if one is not None:
            header, start = one
            if header.is_common and header.decode is None:
                try:
                    return [(header, decode_text(data[start:].decode()))], len(data)
                except (ValueError, RecursionError):
                    return [], 0
    contents, _, odd, ends, longest = split(codec, data, 0, most)
    if not contents:
        return [], 0
    values = decode_contents(contents, longest)
    remembered = codec.headers
    replies: list[tuple[Header, object]] = []
    at = 0
    for value, content, end in zip(values, contents, ends, strict=False):  # behind bad content there are no values
        known = None if odd is None else odd.get(len(replies))
        if known is None:
            framed = data[at : end - len(content)]
            known = remembered.get(framed) or codec.header(framed)  # the cache may have been emptied since
        elif not known.is_json:
            value = data[end - known.content_length : end]
        replies.append((known, value))
        at = end
    return replies, at
