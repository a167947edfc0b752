"""The load tester's memory is read while it runs, and growth is found where there is some."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.cli import main

HOARDER = """\
import json, sys, time
if "-o" not in sys.argv: sys.exit(9)
hoard, end = [], time.monotonic() + 0.9
while time.monotonic() < end:
    hoard.append(bytearray(100_000))
    time.sleep(0.01)
print(json.dumps({"accounting": {"ok": 7}, "connections": {"peak": 1}}))
"""


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(growth, "WARM_UP", 0.2)


def test_a_real_run_is_read_twenty_times_and_told(capsys):
    code = main(["growth", "--seconds", "0.5", "--connections", "2", "--rate", "300"])
    told, readings = capsys.readouterr()
    assert len(re.findall(r"^ +[0-9.]+ s +[0-9.]+ MiB$", readings, re.M)) == growth.READINGS
    found = re.search(r"([-+][0-9,]+) KiB in the second half; [1-9][0-9]* replies in all, on 2 connections", told)
    assert found, told
    assert code == (int(found[1].replace(",", "")) * 1024 > growth.FLAT)


def test_a_load_tester_that_keeps_every_latency_is_found_out(tmp_path, monkeypatch, capsys):
    client = tmp_path / "hoarder.py"
    client.write_text(HOARDER)
    monkeypatch.setattr(growth, "CLIENT", client)
    assert main(["growth", "--seconds", "0.5"]) == 1
    assert "KiB in the second half; 7 replies" in capsys.readouterr().out


def test_a_load_tester_that_fails_is_no_flat_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(growth, "CLIENT", tmp_path / "none.py")
    assert main(["growth", "--seconds", "0.1"]) == 1
    assert "ended with exit code 2" in capsys.readouterr().err


def test_ctrl_c_tells_the_part_that_there_is(monkeypatch, capsys):
    """The terminal tells both: here the one that sleeps is told, and the load tester by hand."""
    started = []
    real_popen, real_sleep = subprocess.Popen, growth.time.sleep

    def popen(*args, **more):
        started.append(real_popen(*args, **more))
        return started[-1]

    def sleep(seconds):
        real_sleep(seconds)
        slept.append(seconds)
        if len(slept) == 6:
            series = Path(started[0].args[started[0].args.index("-o") + 1]) / "timeseries.jsonl"
            while not (series.exists() and "measuring" in series.read_text()):
                real_sleep(0.02)
            started[0].send_signal(2)
            raise KeyboardInterrupt

    slept = []
    monkeypatch.setattr(growth.subprocess, "Popen", popen)
    monkeypatch.setattr(growth.time, "sleep", sleep)
    assert main(["growth", "--seconds", "6", "--connections", "2", "--rate", "100"]) == 130
    assert "in the second half" in capsys.readouterr().out
    assert started[0].returncode == 130
    assert sys.executable == started[0].args[0]
