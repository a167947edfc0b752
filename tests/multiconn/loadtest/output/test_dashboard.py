"""The dashboard's screen is right at any size, whatever the records say."""

import json

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.measure.histogram import merged
from multiconn.loadtest.measure.intervals import CONNECTING, DRAINING, WARMUP
from multiconn.loadtest.output.dashboard import Screen
from multiconn.loadtest.output.live import plan_record
from multiconn.loadtest.output.records import interval_record
from multiconn.loadtest.output.units import time_text
from tests.multiconn.loadtest.runs import histogram, second


def screen_of(intervals, config=None):
    """The screen after these intervals, each told as it is written, at its end."""
    config = config or Config(rate=1000.0, duration=10.0)
    screen = Screen()
    screen.tell(json.loads(json.dumps(plan_record(config, "tcp://127.0.0.1:1"))), 0.0)
    for each in intervals:
        screen.tell(json.loads(json.dumps(interval_record(each, config.percentiles))), each.t)
    return screen


def shown(intervals, width=100, height=30, config=None, now=None):
    """The screen as text after these intervals."""
    lines = screen_of(intervals, config).lines(width, height, intervals[-1].t if now is None else now)
    return ["".join(text for text, _ in line) for line in lines]


RUN = [
    second(1.0, WARMUP),
    second(2.0),
    second(3.0, ok=100, failed=7, errors={"reset": 7}, waiting=12, open=40),
    second(4.0, run_delay=0.3, in_flight=3),
]


def test_it_shows_what_one_watches_for():
    text = "\n".join(shown(RUN))
    for words in (
        "measuring, 4 s, 7 s left", "1,000/s", "of 1,000 asked for", "p99.9", "9.00 ms", "1.00 ms", "50 open of 50",
        "2,100 ok, 3 in flight, 7 failed", "7  reset", "25% of a core, 30% without", "█",
    ):  # fmt: skip
        assert words in text
    assert "12 late" in "\n".join(shown(RUN[:3]))
    assert "40 open of 50, 10 missing" in "\n".join(shown(RUN[:3]))
    assert "of 1,000 asked for, 10%" in "\n".join(shown(RUN[:3]))


def test_each_phase_says_what_it_is_and_time_goes_on_between_records():
    assert "connecting, 0 s" in shown([second(0.2, CONNECTING, 0, seconds=0.2)])[1]
    assert "warm-up, 1 s, 10 s after the warm-up" in shown(RUN[:1])[1]
    assert "6 s left" in shown(RUN, now=5.0)[1]
    assert shown([*RUN, second(5.0, DRAINING)])[1].startswith("draining, 5 s  ")
    by_count = Config(rate=1000.0, duration=None, requests=4200, warmup=0)
    assert "3 s left" in shown(RUN, config=by_count)[1]  # half of them took 3 s


def test_a_closed_run_is_called_closed_and_has_one_latency():
    text = "\n".join(shown([second(2.0, target=None)], config=Config()))
    assert "closed: without the waiting a schedule would have seen" in text
    assert "service" not in text
    assert "asked for" not in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 300])
@pytest.mark.parametrize("height", [5, 10, 17, 18, 24, 60])
def test_it_fits_any_terminal(width, height):
    many = {f"name_{n}": n + 1 for n in range(40)}
    lines = shown([*RUN, second(5.0, errors=many), second(6.0, ok=0)], width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "measuring" in text
    if width >= 60 and height >= 10:
        for words in ("rate", "response", "p99", "requests", "errors", "sockets", "generator"):
            assert words in text


def test_control_characters_from_elsewhere_do_not_reach_the_terminal():
    assert "\x1b" not in "".join(shown([second(2.0, errors={"\x1b[2J": 1})]))


def test_before_the_first_record_it_says_what_is_about_to_be_done():
    (header,), (words,) = screen_of([]).lines(100, 30, 0.0)
    assert header[0].startswith("load tcp://127.0.0.1:1: 100 connections at 1000/s")
    assert words[0] == "starting"
    assert Screen().lines(100, 30, 0.0)


def test_the_whole_run_s_latencies_are_those_of_the_measured_records_exactly():
    values = [range(1_000, 9_000_000, 7_001), range(50_000, 80_000_000, 90_001)]
    parts = [histogram(*each) for each in values]
    intervals = [second(2.0 + n, response=part, service=part) for n, part in enumerate(parts)]
    intervals = [second(1.0, WARMUP, response=histogram(10**10)), *intervals]
    (line,) = [line for line in shown(intervals) if line.startswith("  response *")]
    whole = merged(parts)
    expected = [time_text(value / 1e9) for value in (*whole.percentiles((50, 90, 99, 99.9)), whole.max)]
    assert [text.strip() for text in line.split("*")[1].split("  ") if text.strip()] == expected
