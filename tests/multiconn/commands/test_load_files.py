"""What becomes of a run whose files can't be written? The report is printed, and a sentence says which."""

import json
import os
import resource
import shutil
import signal
import subprocess

import pytest

from multiconn.commands.client import main
from multiconn.loadtest.output.saved_run import read_run
from tests.support import scripted
from tests.support.scripted import ScriptedServer

from .test_load import COMMAND, load, started, until

QUICK = ("-n", "20", "-c", "2", "--ui", "none")


@pytest.mark.parametrize("json_too", [False, True])
def test_a_disk_that_is_full_costs_the_files_and_not_the_report(tmp_path, json_too):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    with ScriptedServer(scripted.correct) as server:
        done = subprocess.run(
            [*COMMAND, server.target, *QUICK, "-o", str(tmp_path / "run"), *["--json"][:json_too]],
            capture_output=True,
            text=True,
            timeout=50,
            preexec_fn=little_room,
            check=False,
        )
    assert done.returncode == 6
    assert json.loads(done.stdout)["accounting"]["ok"] == 20 if json_too else "20 ok" in done.stdout
    (line,) = done.stderr.splitlines()
    assert f"the files in {tmp_path / 'run'} are not whole" in line
    assert "File too large" in line
    assert "keep what is printed here" in line


def test_a_directory_that_was_removed_meanwhile_costs_the_files_and_not_the_report(tmp_path):
    out = tmp_path / "run"
    with ScriptedServer(scripted.correct) as server:
        process = started(server.target, "-c", "2", "-d", "1h", "--warmup", "0", "--interval", "50ms", "-o", str(out))
        until(process, "measuring")
        shutil.rmtree(out)
        process.send_signal(signal.SIGTERM)
        said, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "replies/s" in said
    assert "are not whole (response.hgrm: No such file or directory)" in err
    assert not out.exists()


def test_a_failed_threshold_is_told_before_lost_files(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "multiconn.loadtest.output.page.write_html", lambda directory: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with ScriptedServer(scripted.correct) as server:
        threshold = ["--threshold", "ok_per_s>9m"]
        assert main(["load", server.target, *QUICK, "-o", str(tmp_path / "a")]) == 6
        assert main(["load", server.target, *QUICK, "-o", str(tmp_path / "b"), *threshold]) == 99


def test_what_two_servers_showed_is_printed_though_it_can_not_be_saved(tmp_path, monkeypatch, capsys):
    def full(path, pieces, mode=0):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("multiconn.commands.load_interleaved.replace", full)
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.correct) as b:
        words = ["load", a.target, "--against", b.target, "-c", "2", "-d", "1s", "-r", "200", "--warmup", "0"]
        code = main([*words, "--ui", "none", "-o", str(tmp_path / "both")])
    said = capsys.readouterr()
    assert "compare: A = " in said.out
    assert "comparison.json can't be written (No space left on device)" in said.err
    assert code in (5, 6, 99)  # a busy machine may make a run not valid, or a regression
    assert json.loads((tmp_path / "both" / "a" / "summary.json").read_text())["accounting"]["ok"] > 0


def test_a_second_run_into_one_directory_is_refused_before_it_starts_anything(tmp_path):
    out = str(tmp_path / "run")
    with ScriptedServer(scripted.correct) as server:
        first = started(server.target, "-c", "2", "-d", "1h", "--warmup", "0", "--interval", "50ms", "-o", out)
        until(first, "measuring")
        before = server.connections
        second = load(server.target, *QUICK, "-o", out)
        turns = load(server.target, "--against", server.target, "-c", "2", "-d", "1s", "--ui", "none", "-o", out)
        assert server.connections == before
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=20)
        third = load(server.target, *QUICK, "-o", out)
    for done in (second, turns):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"app_client.py load: another run is writing to {out}; name another directory\n"
    assert "has a run already" in third.stderr, "a lock goes with the process that held it"
    assert read_run(tmp_path / "run").summary is None


def test_a_name_that_is_not_utf_8_works_for_every_file(tmp_path):
    def odd(name):
        return os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9-" + name)

    with open(odd(b"data"), "w") as file:
        file.write('{"action": "echo", "value": 1}\n')
    with ScriptedServer(scripted.correct) as server:
        words = [*QUICK, "--json", "--data", odd(b"data"), "-o", odd(b"run"), "--trace", odd(b"trace")]
        done = load(server.target, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["run"]["config"]["data"] == odd(b"data"), "escaped, and exact"
    assert "\\udcff" in done.stdout
    assert read_run(tmp_path / odd(b"run")).summary["accounting"]["ok"] == 20
    page = subprocess.run([*COMMAND[:-1], "report", odd(b"run")], capture_output=True, timeout=50, check=False)
    assert (page.returncode, page.stderr) == (0, b"")
    bad = load(server.target, *QUICK, "--data", odd(b"none"))
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)


def test_ctrl_c_while_the_page_is_drawn_leaves_everything_else(tmp_path, monkeypatch, capsys):
    def endless(directory):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

    monkeypatch.setattr("multiconn.loadtest.output.page.write_html", endless)
    with ScriptedServer(scripted.correct) as server:
        assert main(["load", server.target, "-n", "9", "-c", "1", "--ui", "none", "-o", str(tmp_path)]) == 130
    said = capsys.readouterr()
    assert "9 ok" in said.out
    assert f"report {tmp_path}' makes it" in said.err
    assert json.loads((tmp_path / "summary.json").read_text())["run"]["interrupted"] is False
