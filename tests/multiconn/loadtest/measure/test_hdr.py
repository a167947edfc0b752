"""HdrHistogram's V2 encoding, read back by a decoder written from its specification."""

import base64
import random
import struct
import zlib

import pytest

from multiconn.loadtest.measure import hdr
from multiconn.loadtest.measure.histogram import HIGHEST, Histogram
from tests.multiconn.loadtest.runs import histogram


def numbers(data):
    """Zigzag LEB128, one after another."""
    at = 0
    while at < len(data):
        shift = value = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield value >> 1 if value & 1 == 0 else -((value + 1) >> 1)


def decoded(word):
    packed = base64.b64decode(word)
    cookie, length = struct.unpack_from(">ii", packed)
    assert cookie == 0x1C849314
    assert length == len(packed) - 8
    plain = zlib.decompress(packed[8:])
    cookie, length, offset, digits, lowest, highest, ratio = struct.unpack_from(">iiiiqqd", plain)
    assert (cookie, length, offset) == (0x1C849313, len(plain) - 40, 0)
    assert (digits, lowest, highest, ratio) == (3, 1, HIGHEST, 1.0)
    counts, index = {}, 0
    for number in numbers(plain[40:]):
        if number < 0:
            index -= number
        else:
            counts[index] = number
            index += 1
    return counts


@pytest.mark.parametrize("values", [[], [0], [1], [HIGHEST], [0, 1, 2], [5, 5, 5, 10**9]])
def test_every_count_comes_back(values):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    assert decoded(hdr.encode(histogram)) == histogram.counts


def test_large_counts_and_many_slots_come_back():
    rng = random.Random(2)
    histogram = Histogram()
    for _ in range(2000):
        histogram.record(int(10 ** rng.uniform(0, 12)), rng.choice([1, 63, 64, 127, 128, 10**6, 2**40]))
    assert decoded(hdr.encode(histogram)) == histogram.counts


def test_the_word_begins_as_histogram_logs_have_it():
    assert hdr.encode(Histogram()).startswith("HISTF")


@pytest.mark.parametrize("word", ["", "!", "HISTF", "AAAA", hdr.encode(histogram(5))[:-4], "é"])
def test_a_word_that_is_no_histogram_is_refused(word):
    with pytest.raises(ValueError, match="HdrHistogram"):
        hdr.decode(word)


@pytest.mark.parametrize("values", [[], [0], [1, 1, 2], [3_600_000_000_000], [10**n for n in range(12)]])
def test_a_histogram_comes_back_with_every_count(values):
    made = histogram(*values)
    again = hdr.decode(hdr.encode(made))
    assert again.counts == made.counts
    assert again.percentile(50) == pytest.approx(made.percentile(50), rel=0.001)
