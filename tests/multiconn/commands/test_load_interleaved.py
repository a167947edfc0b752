"""`load A --against B` as a user runs it: both are loaded, saved and compared."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from multiconn.commands.client import main
from multiconn.loadtest.output.comparison import compare_saved
from multiconn.loadtest.process.child import ChildServer
from tests.support import scripted
from tests.support.scripted import ScriptedServer

ROOT = Path(__file__).resolve().parents[3]


COMMAND = [sys.executable, str(ROOT / "app_client.py"), "load"]


SHORT = ("-d", "320ms", "--block", "40ms", "--warmup", "0", "-c", "4", "--seed", "1")


def load(*options):
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=50, cwd="/")


def test_both_runs_are_saved_and_compare_reads_them_as_a_pair(tmp_path):
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.correct) as b:
        done = load(a.target, "--against", b.target, *SHORT, "-o", str(tmp_path / "o"), "--json")
        again = load(a.target, "--against", b.target, *SHORT, "-o", str(tmp_path / "o"))
    assert done.returncode in (0, 5, 99), done.stderr  # on a busy machine it may be starved, or see a difference
    told = json.loads(done.stdout)
    assert set(told) == {"a", "b", "comparison"}
    assert told["a"]["run"]["schedule_sha256"] == told["b"]["run"]["schedule_sha256"]
    for side in "ab":
        assert json.loads((tmp_path / "o" / side / "summary.json").read_text()) == told[side]
        accounting = told[side]["accounting"]
        assert accounting["sent"] == accounting["ok"] > 0
    assert json.loads((tmp_path / "o" / "comparison.json").read_text()) == told["comparison"]
    comparison = compare_saved(tmp_path / "o" / "a", tmp_path / "o" / "b")
    assert comparison.interleaved
    assert comparison.blocks == tuple(told["comparison"]["blocks"]) == (8, 8)
    for change, saved in zip(comparison.changes, told["comparison"]["changes"].values(), strict=True):
        assert change.change == pytest.approx(saved["change"], abs=1e-4)
        # The same draws; a file has its figures in four digits or so.
        assert (change.low, change.high) == pytest.approx((saved["low"], saved["high"]), rel=0.01, abs=1e-3)
    assert "pair   8 of 8" in done.stderr
    assert "compare: A = tcp://" in done.stderr
    assert again.returncode == 2
    assert "has a comparison already" in again.stderr


def test_ctrl_c_compares_what_there_is(tmp_path):
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.correct) as b:
        command = [*COMMAND, a.target, "--against", b.target, "-d", "40s", "--block", "40ms", "--warmup", "0"]
        with subprocess.Popen(
            [*command, "-o", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if "pair  20 of 1000" in line:  # eight are needed, and a block without a reply is left out
                    break
            os.kill(process.pid, signal.SIGINT)
            out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted by SIGINT" in out
    assert "pairs of blocks, in turns" in out
    assert "throughput" in out
    for side in "ab":
        assert json.loads((tmp_path / side / "summary.json").read_text())["run"]["interrupted"] is True


def test_a_wrong_reply_of_either_is_exit_code_4(capsys):
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.wrong_once_in(10)) as b:
        assert main(["load", a.target, "--against", b.target, *SHORT, "--ui", "none"]) == 4
    out = capsys.readouterr().out
    assert "verify_mismatch" in out
    assert "requests to B failed" in out


def test_a_bundled_server_that_dies_is_said_to_have(monkeypatch, capsys):
    """It answers, and ends by itself as soon as somebody else was asked something."""
    children = []

    class Dying(ChildServer):
        def start(self):
            children.append(self)
            return super().start()

    def kill(peer):
        peer.request()
        children[0].process.kill()
        children[0].process.wait(10)

    monkeypatch.setattr("multiconn.commands.load_interleaved.ChildServer", Dying)
    with ScriptedServer(kill) as b:
        assert main(["load", "--against", b.target, *SHORT, "--timeout", "500ms", "--ui", "none"]) != 0
    assert capsys.readouterr().err.count("the bundled server ended by itself with exit code -9") == 1


def test_nobody_there_is_exit_code_3(capsys):
    with ScriptedServer(scripted.correct) as a:
        nobody = f"127.0.0.1:{scripted.unused_port()}"
        assert main(["load", a.target, "--against", nobody, *SHORT, "--ui", "none"]) == 3
        assert a.requests == 1, "the preflight's: whether it knows the action"
    assert "connect_refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--against", "127.0.0.1:1", "-n", "5"), "use -d instead of -n"),
        (("--against", "127.0.0.1:1", "-w", "2"), "leave -w out"),
        (("--against", "127.0.0.1:1", "--ui", "live"), "use --ui plain, or auto"),
        (("--against", "127.0.0.1:1", "--stage", "1s:5"), "leave --stage out"),
        (("--against", "127.0.0.1:1", "-d", "500ms"), "has only 5 blocks of 0.1 s"),
        (("--against", "127.0.0.1:1", "-d", "4s", "--block", "1s"), "use -d 8s or longer"),
        (("--block", "1s"), "add --against TARGET"),
    ],
)
def test_what_can_t_be_done_in_turns_is_refused_with_what_to_leave_out(options, words, capsys):
    assert main(["load", "127.0.0.1:1", *options]) == 2
    assert words in capsys.readouterr().err
