"""How is a histogram written so that HdrHistogram's own tools can read it?

Encoding V2: the counts, slot by slot, each a zigzag LEB128 number; a run of n empty slots is
the one number -n. Before them a header with the parameters of the layout, around them zlib, and
base64 around everything: the `HISTF...` of an HdrHistogram log.

Values are nanoseconds (a log's "max value" column and plotters call for a factor of 1e-6 to get
milliseconds). Not here: the log's lines (later).
"""

from __future__ import annotations

import base64
import struct
import zlib

from .histogram import HIGHEST, Histogram

__all__ = ["encode"]

# V2's magic numbers; 0x10 says "words of variable length" in both.
_COOKIE = 0x1C849303 | 0x10
_COMPRESSED_COOKIE = 0x1C849304 | 0x10

#: cookie, bytes of counts, index offset, significant digits, lowest, highest, ratio to doubles
_HEADER = struct.Struct(">iiiiqqd")
_ENVELOPE = struct.Struct(">ii")

_DIGITS = 3
_LOWEST = 1


def encode(histogram: Histogram) -> str:
    """The histogram as one base64 word, compressed."""
    counts = bytearray()
    after_last = 0
    for slot, times in sorted(histogram.counts.items()):
        if slot > after_last:
            _put(counts, after_last - slot)
        _put(counts, times)
        after_last = slot + 1
    plain = _HEADER.pack(_COOKIE, len(counts), 0, _DIGITS, _LOWEST, HIGHEST, 1.0) + counts
    packed = zlib.compress(plain)
    return base64.b64encode(_ENVELOPE.pack(_COMPRESSED_COOKIE, len(packed)) + packed).decode()


def _put(out: bytearray, number: int) -> None:
    """Append `number` as zigzag LEB128: small numbers of either sign take few bytes."""
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
