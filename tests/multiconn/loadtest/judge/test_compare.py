"""What a comparison is made of, and what speaks against it."""

import json
from pathlib import Path

import pytest

from multiconn.loadtest.judge.bootstrap import Block
from multiconn.loadtest.judge.compare import MOST, Side, Slice, blocks_of, compare
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import CONNECTING, DRAINING, MEASURING, WARMUP
from multiconn.loadtest.output.files import SUMMARY
from tests.multiconn.loadtest.blocks import constant, saved

# --- statistics --------------------------------------------------------------------------


# --- blocks ------------------------------------------------------------------------------


def part(phase, seconds=1.0, replies=10, latency=1000):
    histogram = Histogram()
    histogram.record(latency, replies)
    return Slice(phase, seconds, replies, histogram)


def test_a_visit_is_a_block_with_what_was_answered_after_it():
    slices = [part(CONNECTING), part(WARMUP), part(MEASURING), part(MEASURING, 0.4, 4), part(DRAINING, 0.1, 2)]
    slices += [part(WARMUP), part(MEASURING, 1.2, 12)]
    first, second = blocks_of(slices, visits=True)
    assert first[:2] == (1.4, 14)
    assert first.latency.count == 16
    assert second[:2] == (1.2, 12)


def test_an_interval_is_a_block_and_one_that_was_cut_off_is_part_of_the_last():
    slices = [part(WARMUP), part(MEASURING), part(MEASURING), part(MEASURING, 0.2, 1), part(DRAINING, 0.1, 3)]
    first, second = blocks_of(slices, visits=False)
    assert first[:2] == (1.0, 10)
    assert second[:2] == (1.2, 11)
    assert second.latency.count == 14


def test_a_long_run_has_no_more_blocks_than_it_needs():
    a, b = (Side(name, None, blocks_of([part(MEASURING)] * 601, visits=False)) for name in "ab")
    made = compare(a, b, interleaved=False)
    assert made.blocks == (-(-601 // 11), -(-601 // 11))
    assert max(made.blocks) <= MOST
    assert [change.change for change in made.changes] == [0, 0, 0]


def test_a_visit_that_one_of_them_lacks_is_left_out_and_one_cut_short_too():
    blocks = constant(1, 10, 1000, 9)
    short = [*blocks[:8], Block(0.3, 3, Histogram())]
    made = compare(Side("a", None, blocks), Side("b", None, short), interleaved=True)
    assert made.blocks == (8, 8)


# --- files and the command -----------------------------------------------------------------


@pytest.mark.parametrize(("offered", "differ"), [(104.0, False), (107.0, True)])
def test_a_request_more_or_less_per_visit_is_no_other_load(tmp_path, offered, differ):
    sides = []
    for name, rate in (("a", 100.0), ("b", offered)):
        path = Path(saved(tmp_path / name, config={"rate": 100.0}, slower=100.0 / rate, duration_s=2.0))
        summary = json.loads((path / SUMMARY).read_text())
        sides.append(Side(name, summary, constant(0.2, 20, 1_000_000, count=10)))
    # ten visits in two seconds: five requests a second are nobody's, and 1 %
    told = compare(*sides, interleaved=True).warnings
    assert any("requests/s against" in warning for warning in told) is differ
    assert any("requests/s against" in warning for warning in compare(*sides, interleaved=False).warnings)
