"""The dashboard: right at any size, and no burden to the generator."""

import importlib.util
import json
import os
import random
import select
import signal
import time

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import CONNECTING, DRAINING, MEASURING, WARMUP, Interval
from multiconn.loadtest.output.dashboard import Screen
from multiconn.loadtest.output.lines import Lines
from multiconn.loadtest.output.live import PER_SECOND, Coarse, Dashboard, Snapshots
from multiconn.loadtest.sink import Plan


def interval(t, phase=MEASURING, ok=1000, **more):
    latencies = Histogram()
    if ok:
        latencies.record(1_000_000, ok)
        latencies.record(9_000_000)
    facts = {"target": 1000.0, "sent": ok, "ok": ok, "replies": ok, "open": 50, "wanted": 50, "cpu": 0.25}
    facts |= {"response": latencies, "service": latencies, **more}
    return Interval(t, facts.pop("seconds", 1.0), phase, **facts)


def shown(intervals, width=100, height=30, config=None, now=None):
    """The screen as text after these intervals."""
    config = config or Config(rate=1000.0, duration=10.0)
    snapshots, screen = Snapshots(Plan(config, "tcp://127.0.0.1:1", 0.0)), Screen()
    screen.tell(json.loads(json.dumps(snapshots.plan())), 0.0)
    for each in intervals:
        told = snapshots.add(each, each.t)
        if told is not None:
            screen.tell(json.loads(json.dumps(told)), each.t)
    lines = screen.lines(width, height, intervals[-1].t if now is None else now)
    return ["".join(text for text, _ in line) for line in lines]


RUN = [
    interval(1.0, WARMUP),
    interval(2.0),
    interval(3.0, ok=100, failed=7, errors={"reset": 7}, waiting=12, open=40),
    interval(4.0, run_delay=0.3, in_flight=3),
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


def test_each_phase_says_what_it_is_and_time_goes_on_between_snapshots():
    assert "connecting, 0 s" in shown([interval(0.2, CONNECTING, 0, seconds=0.2)])[1]
    assert "warm-up, 1 s, 10 s after the warm-up" in shown(RUN[:1])[1]
    assert "6 s left" in shown(RUN, now=5.0)[1]
    assert shown([*RUN, interval(5.0, DRAINING)])[1].startswith("draining, 5 s  ")
    by_count = Config(rate=1000.0, duration=None, requests=4200, warmup=0)
    assert "3 s left" in shown(RUN, config=by_count)[1]  # half of them took 3 s


def test_a_closed_run_is_called_closed_and_has_one_latency():
    text = "\n".join(shown([interval(2.0, target=None)], config=Config()))
    assert "closed: without the waiting a schedule would have seen" in text
    assert "service" not in text
    assert "asked for" not in text


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 300])
@pytest.mark.parametrize("height", [5, 10, 17, 18, 24, 60])
def test_it_fits_any_terminal(width, height):
    many = {f"name_{n}": n + 1 for n in range(40)}
    lines = shown([*RUN, interval(5.0, errors=many), interval(6.0, ok=0)], width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "measuring" in text
    if width >= 60 and height >= 10:
        for words in ("rate", "response", "p99", "requests", "errors", "sockets", "generator"):
            assert words in text


def test_control_characters_from_elsewhere_do_not_reach_the_terminal():
    assert "\x1b" not in "".join(shown([interval(2.0, errors={"\x1b[2J": 1})]))


def test_snapshots_are_few_however_short_the_intervals_and_nothing_is_lost():
    snapshots = Snapshots(Plan(Config(rate=1000.0), "t", 0.0))
    told = [snapshots.add(interval(n / 50, ok=20, seconds=1 / 50, errors={"reset": 1}), n / 50) for n in range(1, 501)]
    sent = [each for each in told if each is not None]
    assert 10 * PER_SECOND - 2 <= len(sent) <= 10 * (PER_SECOND + 1)
    assert sent[-1]["counts"]["ok"] == pytest.approx(10_000, rel=0.03)
    assert all(each["rate"] == pytest.approx(1000) for each in sent)
    assert sent[-1]["errors"]["reset"] >= 485
    assert max(len(json.dumps(each)) for each in sent) < select.PIPE_BUF


def test_the_whole_runs_percentiles_are_told_to_one_percent_and_never_too_low():
    chance, whole, coarse = random.Random(7), Histogram(), Coarse()
    assert coarse.percentiles() is None
    for _ in range(5):
        part = Histogram()
        for _ in range(400):
            part.record(int(chance.lognormvariate(13, 2)))
        whole.merge(part)
        coarse.add(part)
    *told, longest = coarse.percentiles()
    assert longest == whole.max / 1e9
    for value, exact in zip(told, whole.percentiles((50, 90, 99, 99.9)), strict=True):
        assert exact <= value * 1e9 <= exact * (1 + 1 / 100) or value == longest


# --- on a terminal ----------------------------------------------------------------------------------


@pytest.mark.skipif(not importlib.util.find_spec("rich"), reason="rich is not installed: the extra tui")
def test_a_dashboard_that_does_not_read_holds_nobody_up(monkeypatch):
    """It is stopped; the generator goes on writing, and loses only what does not fit the pipe."""
    dashboard = Dashboard(instead=Lines(print))
    try:
        os.kill(dashboard._process.pid, signal.SIGSTOP)
        dashboard.begin(Plan(Config(rate=1000.0), "t", 0.0))
        began = time.process_time()
        for n in range(1, 2001):
            monkeypatch.setattr(dashboard._snapshots, "_due", 0.0)
            dashboard.interval(interval(float(n)))
        assert dashboard._process is not None
        assert time.process_time() - began < 20
    finally:
        os.kill(dashboard._process.pid, signal.SIGKILL)
        dashboard.close()
