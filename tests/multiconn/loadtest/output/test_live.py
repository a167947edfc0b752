"""The generator writes the dashboard the records of the time series, never waits for it, and loses none."""

import json
import os
import select
import signal
import sys
import time

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.measure.intervals import CONNECTING, DRAINING, MEASURING, WARMUP
from multiconn.loadtest.output import files
from multiconn.loadtest.output.dashboard import PER_SECOND
from multiconn.loadtest.output.live import RESTORE, Backlog, Dashboard, plan_record
from multiconn.loadtest.sink import Plan
from tests.multiconn.loadtest.runs import Told, second

CONFIG = Config(rate=1000.0, duration=10.0)
PLAN = Plan(CONFIG, "tcp://127.0.0.1:1", 1_700_000_000.0)

#: Says that it is ready, and keeps what it reads in a file.
KEEPER = (
    sys.executable,
    "-c",
    "import shutil, sys\nwith open(sys.argv[1], 'wb') as file:\n    print(flush=True)\n"
    "    shutil.copyfileobj(sys.stdin.buffer, file)\n",
)


@pytest.fixture
def unhurried(monkeypatch):
    """Each interval is sent at once."""
    monkeypatch.setattr("multiconn.loadtest.output.live.PER_SECOND", 1e9)


def kept(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_what_the_dashboard_reads_is_the_time_series_line_by_line(tmp_path, unhurried):
    dashboard = Dashboard((*KEEPER, str(tmp_path / "read")), instead=Told())
    writer = files.Writer(tmp_path / "run", CONFIG.percentiles)
    for sink in (dashboard, writer):
        sink.begin(PLAN)
        for each in (second(0.2, CONNECTING, 0), second(1.2, WARMUP), second(2.2), second(3.2, errors={"reset": 1})):
            sink.interval(each)
        sink.end(None)
    plan, *lines = (tmp_path / "read").read_bytes().splitlines(keepends=True)
    assert b"".join(lines) == (writer.directory / files.TIMESERIES).read_bytes()
    assert json.loads(plan) == plan_record(CONFIG, PLAN.target)
    writer.release()


def test_intervals_that_come_faster_are_joined_and_none_is_lost(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr("multiconn.loadtest.output.live.time.monotonic", lambda: now)
    dashboard = Dashboard((*KEEPER, str(tmp_path / "read")), instead=Told())
    dashboard.begin(PLAN)
    for n in range(1, 501):
        now = n / 50
        dashboard.interval(second(now, ok=20, seconds=1 / 50, errors={"reset": 1}))
    dashboard.close()
    _, *records = kept(tmp_path / "read")
    assert 10 * PER_SECOND - 2 <= len(records) <= 10 * (PER_SECOND + 1)
    assert sum(record["counts"]["ok"] for record in records) == pytest.approx(10_000, rel=0.03)
    assert all(record["rate"] == pytest.approx(1000) for record in records)
    assert sum(record["errors"]["reset"] for record in records) >= 485
    assert all(record["latency_s"]["response"]["count"] % 21 == 0 for record in records)


def test_a_backlog_joins_intervals_of_one_phase_and_keeps_phases_apart():
    backlog = Backlog()
    told = [second(1.0, WARMUP), second(2.0), second(3.0, open=7), second(3.1, DRAINING, 0, seconds=0.1)]
    for each in told:
        backlog.add(each)
    warmup, measured, drain = backlog.take()
    assert (warmup, drain) == (told[0], told[3])
    assert (measured.t, measured.seconds, measured.phase, measured.ok, measured.open) == (3.0, 2.0, MEASURING, 2000, 7)
    assert measured.response.count == 2002
    assert told[1].response.count == 1001, "what was told is not changed"
    assert backlog.take() == []


def test_a_dashboard_that_does_not_read_holds_nobody_up_and_hears_everything_later(tmp_path, unhurried):
    """It is stopped; the generator goes on, and what does not fit the pipe is joined."""
    dashboard = Dashboard((*KEEPER, str(tmp_path / "read")), instead=Told())
    process = dashboard._process
    try:
        os.kill(process.pid, signal.SIGSTOP)
        dashboard.begin(PLAN)
        began = time.process_time()
        for n in range(1, 1001):
            dashboard.interval(second(float(n)))
        assert dashboard._process is process
        assert time.process_time() - began < 20
        os.kill(process.pid, signal.SIGCONT)
        while not dashboard._flush():
            select.select([], [process.stdin], [], 10)
        dashboard.interval(second(1001.0))
        while not dashboard._flush():
            select.select([], [process.stdin], [], 10)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        dashboard.close()
    _, *records = kept(tmp_path / "read")
    assert sum(record["counts"]["ok"] for record in records) == 1_001_000
    assert len(records) < 1000
    assert records[-1]["t"] == 1001.0


def test_a_dashboard_that_dies_gives_way_to_what_is_there_instead(tmp_path, unhurried):
    instead, (reader, terminal) = Told(), os.pipe()
    dashboard = Dashboard((*KEEPER, str(tmp_path / "read")), instead, terminal)
    dashboard.begin(PLAN)
    os.kill(dashboard._process.pid, signal.SIGKILL)
    dashboard._process.wait(20)
    last = second(3.0)
    for each in (second(1.0), second(2.0), last):
        dashboard.interval(each)
    dashboard.end(None)
    os.close(terminal)
    assert instead.intervals[-1] is last
    assert os.read(reader, 1000) == RESTORE.encode()
    os.close(reader)


def test_a_command_that_can_not_be_started_gives_way_at_once():
    instead = Told()
    dashboard = Dashboard(("/nowhere",), instead)
    dashboard.begin(PLAN)
    dashboard.interval(second(1.0))
    assert len(instead.intervals) == 1
    dashboard.close()
