"""How is a histogram written so that HdrHistogram's own tools can read it?

Encoding V2: the counts, bin by bin, each a zigzag LEB128 number; a run of n empty bins is
the one number -n. Before them a header with the parameters of the layout, around them zlib, and
base64 around everything: the `HISTF...` of an HdrHistogram log.

Values are nanoseconds (a log's "max value" column and plotters call for a factor of 1e-6 to get
milliseconds). The log (`.hlog`, format 1.3) and the percentile distribution (`.hgrm`) are text
around it.

Not here: which files there are (`output.files`).
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterator

from .histogram import BUCKETS, HIGHEST, Histogram

__all__ = ["LOG_HEAD", "decode", "encode", "log_line", "percentile_lines"]

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
    for index, times in sorted(histogram.counts.items()):
        if index > after_last:
            _put(counts, after_last - index)
        _put(counts, times)
        after_last = index + 1
    plain = _HEADER.pack(_COOKIE, len(counts), 0, _DIGITS, _LOWEST, HIGHEST, 1.0) + counts
    packed = zlib.compress(plain)
    return base64.b64encode(_ENVELOPE.pack(_COMPRESSED_COOKIE, len(packed)) + packed).decode()


def _put(out: bytearray, number: int) -> None:
    """Append `number` as zigzag LEB128: small numbers of either sign take few bytes."""
    left = number << 1 if number >= 0 else (-number << 1) - 1
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)


# --- reading -------------------------------------------------------------------------


def decode(word: str) -> Histogram:
    """The histogram that `encode` wrote. Raises `ValueError` for anything else.

    `min` and `max` are exact to a bin's width: the encoding has the counts alone.
    """
    try:
        packed = base64.b64decode(word, validate=True)
        cookie, length = _ENVELOPE.unpack_from(packed)
        if cookie != _COMPRESSED_COOKIE or length != len(packed) - _ENVELOPE.size:
            raise ValueError("not a compressed HdrHistogram of version 2")
        plain = zlib.decompress(packed[_ENVELOPE.size :])
        cookie, length, offset, digits, lowest, _, _ = _HEADER.unpack_from(plain)
    except (struct.error, zlib.error, ValueError) as error:  # binascii.Error is a ValueError
        raise ValueError(f"not an HdrHistogram: {error}") from None
    if (cookie, offset, digits, lowest) != (_COOKIE, 0, _DIGITS, _LOWEST) or length != len(plain) - _HEADER.size:
        raise ValueError("an HdrHistogram of another layout than ours (3 digits, from 1)")
    counts: dict[int, int] = {}
    index = 0
    for number in _numbers(plain[_HEADER.size :]):
        if number < 0:
            index -= number
        else:
            if number:
                counts[index] = number
            index += 1
    histogram = Histogram()
    for end in (min(counts), max(counts)) if counts else ():
        histogram.restore(end, 0)  # bins rise: the ends tell the extremes, and whether all of them exist
    histogram.counts.update(counts)
    return histogram


def _numbers(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield (value >> 1) if not value & 1 else -((value + 1) >> 1)
            value = shift = 0
    if shift:
        raise ValueError("an HdrHistogram that ends inside a number")


# --- the text formats ----------------------------------------------------------------

LOG_HEAD = """\
#[multiconn load: latencies in nanoseconds, Interval_Max in milliseconds]
#[Histogram log format version 1.3]
#[StartTime: {start:.3f} (seconds since epoch)]
"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
"""


def log_line(tag: str, start_s: float, seconds: float, histogram: Histogram) -> str:
    """A line of a histogram log. `start_s` counts from the log's StartTime."""
    return f"Tag={tag},{start_s:.3f},{seconds:.3f},{histogram.max / 1e6:.3f},{encode(histogram)}\n"


#: Steps per halving of the distance to 100 %: HdrHistogram's own default.
_TICKS = 5


def percentile_lines(histogram: Histogram) -> Iterator[str]:
    """The `.hgrm` text that HdrHistogram's plotters read: milliseconds by percentile."""
    yield f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}\n\n"
    count = histogram.count
    steps = list(histogram.cumulative())
    percentile = 0.0  # as a fraction of one
    for at, (seen, highest) in enumerate(steps):
        reached = seen / count
        while reached >= percentile:
            value = min(highest, histogram.max) / 1e6
            if at == len(steps) - 1:
                yield f"{value:12.6f} {1:14.12f} {seen:10d}\n"
                break
            yield f"{value:12.6f} {percentile:14.12f} {seen:10d} {1 / (1 - percentile):14.2f}\n"
            halvings = 2 ** (int(math.log2(1 / (1 - percentile))) + 1)
            percentile += 1 / (_TICKS * halvings)
    yield f"#[Mean    = {histogram.mean / 1e6:12.6f}, StdDeviation   = {histogram.deviation / 1e6:12.6f}]\n"
    yield f"#[Max     = {histogram.max / 1e6:12.6f}, Total count    = {count:12d}]\n"
    yield f"#[Buckets = {BUCKETS:12d}, SubBuckets     = {2048:12d}]\n"
