"""Several processes make one run: nothing lost, nothing counted twice, and whoever is killed leaves nobody behind."""

import bisect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eventloop import parse_address
from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.runner import Runner
from multiconn.loadtest.measure import hdr
from multiconn.loadtest.measure.errors import KEPT
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import MEASURED, MEASURING, WARMUP, Interval
from multiconn.loadtest.output.saved_run import read_run
from multiconn.loadtest.process.workers import _PHASES, Workers, _Merge
from tests.multiconn.commands.test_load import COMMAND, ROOT, alive, load, started, until
from tests.multiconn.loadtest.runs import FAST, Told
from tests.support import scripted
from tests.support.scripted import ScriptedServer


def both(target, **options):
    config = Config(**{**FAST, **options})
    address = parse_address(target)
    return config, address, resolve(address)


def test_two_workers_share_one_schedule_and_one_accounting():
    told = Told()
    with ScriptedServer(scripted.correct) as server:
        everything = both(
            server.target, connections=5, duration=0.6, rate=200.0, warmup=0.1, interval=0.2, workers=2, seed=3,
            arrival="poisson",
        )  # fmt: skip
        outcome = Workers(*everything, [told]).run()
        alone = Runner(*both(server.target, connections=2, duration=0.6, rate=200.0, warmup=0.1, seed=3,
                             arrival="poisson")).run()  # fmt: skip
        assert server.connections == 5 + 2
    assert outcome.accounting.scheduled == alone.accounting.scheduled
    assert outcome.accounting.ok == outcome.accounting.sent
    assert outcome.schedule_sha256 == alone.schedule_sha256
    assert outcome.connections.peak == 5
    whole = Histogram()
    for interval in told.intervals:
        if interval.phase in MEASURED:
            whole.merge(interval.response)
    assert whole.counts == outcome.measured.response.counts
    assert next(i.phase for i in told.intervals if i.phase in MEASURED) == MEASURING
    order = [_PHASES.index(interval.phase) for interval in told.intervals]
    assert order == sorted(order)


def part(phase, ok=1):
    return Interval(1.0, 1.0, phase, ok=ok)


def test_an_interval_is_told_when_every_worker_is_there_or_beyond():
    merge = _Merge(2)
    merge.add(0, 0, part(WARMUP))
    merge.add(0, 1, part(WARMUP))
    assert list(merge.whole()) == []
    merge.add(1, 0, part(WARMUP, ok=5))
    assert [i.ok for i in merge.whole()] == [6]
    merge.add(1, 0, part(MEASURING))  # which had one interval of the warm-up less
    assert [i.ok for i in merge.whole()] == [1]
    merge.finished(0)
    assert [i.phase for i in merge.whole()] == [MEASURING]
    assert list(merge.remaining()) == []


def test_ctrl_c_ends_all_workers_and_their_partial_results_are_one(tmp_path):
    out = tmp_path / "run"
    with ScriptedServer(scripted.correct) as server:
        process = started(
            server.target, "-c", "4", "-w", "2", "-d", "1h", "--warmup", "0", "--interval", "100ms", "-o", str(out)
        )
        until(process, "measuring")
        os.kill(process.pid, signal.SIGINT)
        said, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "interrupted by SIGINT" in said
    assert "Traceback" not in err
    run = read_run(out)
    assert run.summary["run"]["interrupted"] is True
    assert run.summary["accounting"]["ok"] == run.summary["accounting"]["sent"] > 0
    assert run.summary["connections"]["peak"] == 4


def children(pid):
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_load_leaves_neither_server_nor_workers_behind_and_its_files_up_to_the_last_interval(
    workers, tmp_path
):
    out = tmp_path / "run"
    process = started("-c", "2", "-w", workers, "-d", "1h", "--warmup", "0", "--interval", "50ms", "-o", str(out))
    until(process, "measuring")
    until(process, "measuring")
    left = children(process.pid)
    assert len(left) >= int(workers)
    process.kill()
    process.communicate(timeout=20)
    end = time.monotonic() + 15
    while any(_running(pid) for pid in left) and time.monotonic() < end:
        time.sleep(0.05)
    assert [pid for pid in left if _running(pid)] == []
    run = read_run(out)
    assert run.summary is None
    assert any(line["phase"] == "measuring" and line["counts"]["ok"] for line in run.intervals)


def _running(pid):
    """Alive, and no zombie that only waits for somebody to take note."""
    try:
        return alive(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_files_of_a_run_agree_with_each_other(tmp_path):
    out = tmp_path / "run"
    with ScriptedServer(scripted.wrong_once_in(50)) as server:
        done = load(server.target, "-c", "3", "-r", "300", "-d", "600ms", "--warmup", "100ms", "--interval", "100ms",
                    "-o", str(out), "--json", "--ui", "none")  # fmt: skip
        again = load(server.target, "-n", "1", "-o", str(out))
    assert done.returncode == 4
    assert again.returncode == 2
    assert "has a run already" in again.stderr
    run = read_run(out)
    assert run.summary == json.loads(done.stdout)
    whole = Histogram()
    for line in run.intervals:
        if line["phase"] in MEASURED:
            whole.merge(hdr.decode(line["latency_s"]["service"]["hdr"]))
    latency = run.summary["latency_s"]
    assert whole.counts == hdr.decode(latency["service"]["hdr"]).counts
    assert latency["response"]["p"]["99"] >= latency["service"]["p"]["99"]
    assert {path.name for path in out.iterdir()} >= {
        "summary.json", "timeseries.jsonl", "latency.hlog", "response.hgrm", "service.hgrm", "errors.jsonl",
    }  # fmt: skip
    assert run.errors[0]["name"] == "verify_mismatch"
    assert run.summary["rate"]["target"] == 300
    assert sum(line["counts"]["scheduled"] for line in run.intervals) == pytest.approx(210, abs=1)
    assert run.summary["by_action"]["search"]["failed"] == len(run.errors)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_hundred_of_each_error_are_kept_and_their_connections_have_one_numbering(workers, tmp_path):
    """However many books there are: of the warm-up, of what was measured, of connections; of each worker."""
    out = tmp_path / "run"
    with ScriptedServer(scripted.wrong_once_in(2)) as server:
        done = load(server.target, "-c", "5", "-r", "1k", "-n", "500", "--warmup", "300ms", "--interval", "100ms",
                    "-w", str(workers), "-o", str(out), "--ui", "none")  # fmt: skip
    assert done.returncode == 4, done.stderr
    run = read_run(out)
    assert run.summary["errors"]["verify_mismatch"] > KEPT
    assert len(run.errors) == KEPT
    assert {error["connection"] for error in run.errors} == set(range(5))
    if workers == 1:  # several go through the intervals each at its own pace
        within = [line["t"] for line in run.intervals]
        order = [bisect.bisect_left(within, error["at_s"]) for error in run.errors]
        assert order == sorted(order)  # those kept are the first


def test_workers_share_the_source_addresses_evenly(monkeypatch):
    """Two workers with one connection each and two sources: not both from the first one."""
    bound = []

    def connect(shared, owner, endpoints, **_):
        bound.append(endpoints)
        return Quiet()

    monkeypatch.setattr("multiconn.loadtest.engine.slots.Message", connect)
    for index in range(2):
        config, address, _ = both("127.0.0.1:9", connections=2, workers=2, source_ips=("127.0.0.1", "127.0.0.2"))
        runner = Runner(config.part(index, 2), address, resolve(address))
        runner.slots._dial(runner.slots._all[0])
        runner.close()
    assert [ends[0].source[0] for ends in bound] == ["127.0.0.1", "127.0.0.2"]


class Quiet:
    """A connection that never comes about."""

    def abort(self):
        pass


# --- thresholds, as a user meets them ------------------------------------------------------


def test_a_failed_gate_is_exit_code_99_or_5_and_an_abort_ends_the_run():
    with ScriptedServer(scripted.correct) as server:
        began = time.monotonic()
        aborted = load(server.target, "-c", "1", "-d", "30s", "--warmup", "0", "--interval", "90ms",
                       "--abort-on", "ok_per_s>1")  # fmt: skip
        assert time.monotonic() - began < 20
        failed = load(server.target, "-c", "1", "-n", "20", "--threshold", "response.p50>1h")
    assert aborted.returncode == 99
    assert "--abort-on ok_per_s>1" in aborted.stdout
    valid = "NOT VALID" not in failed.stdout  # a machine that is busy may make it invalid
    assert failed.returncode == (99 if valid else 5)
    assert "threshold response.p50>1h: FAILED" in failed.stdout


# --- the verdict on purpose -----------------------------------------------------------------

BURN = "import time\nend = time.monotonic() + 20\nwhile time.monotonic() < end: pass"
PINNED = """\
import os, runpy, sys
os.sched_setaffinity(0, {{{core}}})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_generator_that_is_starved_of_its_core_says_so_and_blames_itself():
    core = max(os.sched_getaffinity(0))
    pin = PINNED.format(core=core)
    burners = [
        subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\n{BURN}"])
        for _ in range(4)
    ]
    try:
        with ScriptedServer(scripted.correct) as server:
            done = subprocess.run(
                [sys.executable, "-c", pin, str(ROOT / "app_client.py"), *COMMAND[2:], server.target, "-c", "4",
                 "-d", "700ms", "--warmup", "0", "--json", "--ui", "none", "--require-valid"],
                capture_output=True, text=True, timeout=50, check=False,
            )  # fmt: skip
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert done.returncode == 5, done.stderr
    verdict = json.loads(done.stdout)["verdict"]
    assert verdict["valid"] is False
    assert verdict["bottleneck"] == "client"
