"""`app_client.py load` as a user runs it: options, output, exit codes, Ctrl-C, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from multiconn.commands.client import main
from multiconn.loadtest.measure.errors import NAMES
from tests.support import scripted
from tests.support.scripted import ScriptedServer

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, str(ROOT / "app_client.py"), "load"]


def load(*options):
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=50, cwd="/")


def started(*options):
    return subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# --- output ------------------------------------------------------------------------------


def test_the_report_is_on_stdout_and_the_progress_on_stderr():
    with ScriptedServer(scripted.correct) as server:
        done = load(server.target, "-c", "3", "-d", "300ms", "--warmup", "0", "--interval", "100ms", "--seed", "7")
    assert done.returncode == 0
    assert "replies/s" in done.stdout
    assert "every reply verified" in done.stdout
    assert "errors     none" in done.stdout
    assert "closed: latency does not include waiting the schedule would have seen" in done.stdout
    assert "verdict" in done.stdout
    assert "(seed 7)" in done.stderr
    assert done.stderr.count("measuring") >= 2
    assert max(map(len, done.stdout.splitlines())) <= 120


SUMMARY = {
    "schema": None,
    "run": {
        "id", "name", "started_at", "duration_s", "interrupted", "argv", "config", "seed", "schedule_sha256", "host",
        "versions",
    },
    "verdict": {"valid", "reasons", "bottleneck", "thresholds"},
    "accounting": {"scheduled", "sent", "ok", "failed", "dropped", "in_flight_at_end"},
    "rate": {"target", "offered", "achieved", "ok_per_s"},
    "latency_s": {"response", "service", "connect", "failed"},
    "by_action": {"confirm"},
    "bytes": {"sent", "received"},
    "connections": {"opened", "peak", "reconnects", "closed_by_peer", "syn_retries", "listen_overflows"},
    "errors": set(NAMES),
    "generator": {"cpu_max", "loop_lag_p99_s", "schedule_slip_p99_s"},
    "server": None,
}  # fmt: skip


def test_the_summary_has_every_key_of_the_schema():
    with ScriptedServer(scripted.correct) as server:
        done = load(server.target, "-n", "50", "-c", "3", "--action", "confirm", "--json", "--ui", "none")
    assert done.returncode == 0
    assert done.stderr == ""
    summary = json.loads(done.stdout)
    assert {key: value and set(value) for key, value in summary.items() if key != "schema"} == {
        key: value for key, value in SUMMARY.items() if key != "schema"
    }
    assert summary["schema"] == "appload/1"
    assert summary["accounting"] == {
        "scheduled": 50, "sent": 50, "ok": 50, "failed": 0, "dropped": 0, "in_flight_at_end": 0,
    }  # fmt: skip
    latency = summary["latency_s"]
    for part in latency.values():
        assert set(part) == {"count", "min", "mean", "max", "p", "hdr"}
        assert set(part["p"]) == {"50", "90", "95", "99", "99.9"}
        assert part["min"] <= part["p"]["50"] <= part["p"]["99.9"] <= part["max"]
        assert part["hdr"].startswith("HISTF")
    assert latency["response"] == latency["service"]
    assert latency["response"]["count"] == 50
    assert summary["rate"]["target"] is None
    assert summary["rate"]["achieved"] == pytest.approx(50 / summary["run"]["duration_s"])
    assert summary["run"]["config"]["model"] == "closed"
    assert all(value == 0 for value in summary["errors"].values())


def test_with_json_the_report_moves_to_stderr():
    with ScriptedServer(scripted.correct) as server:
        done = load(server.target, "-n", "5", "-c", "1", "--json", "--percentiles", "99.99,50")
    assert list(json.loads(done.stdout)["latency_s"]["response"]["p"]) == ["50", "99.99"]
    assert "replies/s" in done.stderr


def test_the_same_load_has_the_same_fingerprint():
    with ScriptedServer(scripted.correct) as server:
        runs = [load(server.target, "-n", n, "-c", "1", "--seed", "1", "--json") for n in ("5", "5", "6")]
    first, same, other = (json.loads(done.stdout)["run"]["schedule_sha256"] for done in runs)
    assert first == same != other


# --- exit codes -----------------------------------------------------------------------------


def test_a_wrong_reply_is_exit_code_4_and_named():
    with ScriptedServer(scripted.wrong_once_in(3)) as server:
        done = load(server.target, "-n", "30", "-c", "1")
    assert done.returncode == 4
    assert "10  verify_mismatch" in done.stdout


def test_nobody_there_is_exit_code_3_and_says_what_to_do():
    done = load(f"127.0.0.1:{scripted.unused_port()}", "-c", "2")
    assert done.returncode == 3
    assert "connect_refused" in done.stdout
    assert "start the server" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-c", "0"], "whole number from 1"),
        (["127.0.0.1:1", "--find-rate", "1:2"], "--find-rate"),
        (["127.0.0.1:1", "--on-overrun", "drop"], "needs --rate"),
        (["127.0.0.1:1", "--abort-on", "connect.p99>1s"], "no interval has connect times"),
        (["127.0.0.1:1", "--against", "127.0.0.1:2", "-d", "1s", "--trace", "t"], "--trace is of one run"),
        (["127.0.0.1:1", "--rate", "5", "--think", "1s"], "--think"),
        (["127.0.0.1:1", "-w", "3", "-c", "2"], "-c 3 or more"),
        (["127.0.0.1:1", "--threshold", "achieved/target>=99%"], "has no target"),
        (["127.0.0.1:1", "--size", "64"], "--action echo"),
        (["127.0.0.1:1", "--data", "/none"], "check the name"),
        (["127.0.0.1:1", "--source-ip", "192.0.2.1"], "address of this machine"),
        (["127.0.0.1:1", "-o", "/proc/nowhere"], "name another one"),
        (["no-such-host.invalid:1"], "no-such-host.invalid"),
        (["127.0.0.1:1", "-c", "2m"], "limit"),
    ],
)
def test_what_can_not_be_run_is_exit_code_2_and_never_a_traceback(options, words, capsys):
    assert main(["load", *options]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""


# --- signals -----------------------------------------------------------------------------------


def until(process, words):
    """Read stderr up to a line with these words."""
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} was never said")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_run_and_the_partial_results_are_printed(number, code):
    with ScriptedServer(scripted.correct) as server:
        process = started(server.target, "-c", "2", "-d", "1h", "--warmup", "0", "--interval", "50ms", "--json")
        until(process, "measuring")
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == code
    summary = json.loads(out)
    assert summary["run"]["interrupted"] is True
    assert summary["accounting"]["ok"] == summary["accounting"]["sent"] > 0
    assert f"interrupted by {number.name}" in err


def test_a_second_signal_quits_at_once():
    with ScriptedServer(scripted.silent_after(5)) as server:
        process = started(server.target, "-c", "2", "-d", "1h", "--warmup", "0", "--interval", "50ms", "--drain", "1h")
        until(process, "measuring")
        process.send_signal(signal.SIGINT)
        until(process, "draining")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""


# --- the bundled server ---------------------------------------------------------------------------


def test_without_a_target_the_bundled_server_is_loaded_and_stopped():
    done = load("-n", "300", "-c", "10", "-p", "4", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["accounting"]["ok"] == 300
    port = int(summary["run"]["config"]["target"].rpartition(":")[2])
    assert load(f"127.0.0.1:{port}", "-n", "1", "-c", "1").returncode == 3


def test_the_bundled_server_goes_with_an_interrupted_run():
    process = started("-d", "1h", "-c", "2", "--interval", "100ms")
    header = process.stderr.readline()
    port = int(header.split("tcp://127.0.0.1:")[1].split(":")[0])
    until(process, "measuring")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert load(f"127.0.0.1:{port}", "-n", "1", "-c", "1").returncode == 3


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
