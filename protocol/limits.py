"""How large may a message be, and whose numbers are these?

Only sizes of a message live here; everything with time or sockets is in
`libserver.limits` and `libclient`. Sizes are in bytes, counts are plain integers.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Limits", "parse_count", "parse_size"]

#: The wire's own ceiling: the header's length travels in two bytes.
WIRE_MAX_HEADER = 0xFFFF

#: Nesting a header may have. Ours are flat; the number is generous, and small enough that a
#: recursive parser is never in danger.
MAX_HEADER_DEPTH = 32

#: Nesting a content may have: serde_json's number (Ruby's is 100, System.Text.Json's 64). All that handles a value
#: takes a frame per level, of the thousand that Python has by default.
MAX_CONTENT_DEPTH = 128

#: Contents from this size on are decoded, answered and freed without the cyclic collector
#: (`protocol.collecting`): below it that is called a few times at most.
UNCOLLECTED = 8 * 1024

#: An `id` is echoed in every reply, so it is kept short; integers stay exact in a double (RFC 7493).
MAX_ID_LENGTH = 64
MAX_ID_INTEGER = 2**53

#: Characters in a content type that we send; whatever its letters, the header then fits its prefix.
MAX_CONTENT_TYPE = 1024

#: One day: longer than any sensible request, short enough to be a sane timer.
MAX_DEADLINE_MS = 86_400_000

#: Headers longer than this are parsed each time: a cache of them could be made large on purpose.
CACHED_HEADER_LENGTH = 512
#: Different headers remembered per endpoint: at most half a megabyte of keys.
CACHED_HEADERS = 1024
#: Different reply lengths remembered per endpoint.
CACHED_REPLY_HEADERS = 4096

#: Contents from this size on are received straight into a buffer of their own.
DIRECT_CONTENT = 64 * 1024


class _Sizes(NamedTuple):
    max_header: int
    max_content: int
    max_json: int


class Limits(_Sizes):
    """What one message may measure, in bytes.

    `max_header` defaults to all that two bytes can say; `max_content` to NATS' 64 MiB ceiling
    for `max_payload`. `max_json` is a server's, for the contents of requests that are JSON: those
    are decoded in one piece, while it serves nobody else, into up to 52 times their size. It
    defaults to a megabyte, NATS' default for `max_payload`; one above `max_content` says nothing. All are
    decided from the *declared* size, before anything is buffered.
    None can be turned off: a peer could then make us hold whatever it likes to send.

    Raises `ValueError` for a limit that can't hold.
    """

    __slots__ = ()

    def __new__(
        cls, max_header: int = WIRE_MAX_HEADER, max_content: int = 64 * 1024 * 1024, max_json: int = 1024 * 1024
    ) -> Limits:
        if not 1 <= max_header <= WIRE_MAX_HEADER:
            raise ValueError(f"max_header must be from 1 to {WIRE_MAX_HEADER}, not {max_header}")
        if max_content < 1:
            raise ValueError(f"max_content must be at least 1 byte, not {max_content}")
        if max_json < 1:
            raise ValueError(f"max_json must be at least 1 byte, not {max_json}")
        return super().__new__(cls, max_header, max_content, max_json)


_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

#: Of a number that a person writes. More are a slip of the keyboard, or somebody's attempt to see us stumble:
#: beyond 4,300 Python itself refuses to read them, with words of its own.
_MOST_DIGITS = 15


def parse_size(text: str) -> int:
    """Bytes from what a person writes: `65535`, `64k`, `64m`, `1g` (units of 1024).

    Raises `ValueError` with a sentence that says what is accepted.
    """
    word = text.strip().lower()
    digits, unit = (word[:-1], word[-1]) if word[-1:].isalpha() else (word, "")
    if unit not in _UNITS or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text[:40]!r} is not a size: write bytes, or a number with k, m or g (1024), such as 64m")
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"{text[:40]!r} is too large a size: write at most {_MOST_DIGITS} digits")
    return int(digits) * _UNITS[unit]


def parse_count(text: str) -> int:
    """A whole number from 0, of at most 9 digits: what the system's calls take. Raises `ValueError` with a sentence."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ValueError(f"{text[:40]!r} is not a count: write a whole number of at most 9 digits")
    return int(text)
