"""What becomes of a run whose files, pipes, names or terminal are not what they were? As a user meets it."""

import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from multiconn.commands.client import main
from multiconn.loadtest.output.files import read_run
from tests.support import scripted
from tests.support.scripted import ScriptedServer

from .test_load import COMMAND, load, started, until

QUICK = ("-n", "20", "-c", "2", "--ui", "none")


# --- the files of -o -----------------------------------------------------------------------


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

    monkeypatch.setattr("multiconn.loadtest.engine.interleaved.replace", full)
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


# --- --data from what can be read once -----------------------------------------------------


LINES = '{"action": "echo", "value": "one"}\n{"action": "echo", "value": "two"}\n'


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("name", ["/dev/stdin", "-", "fifo"])
def test_data_that_comes_through_a_pipe_is_read_once_and_kept(tmp_path, name, workers):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_text(LINES))
    if name == "fifo":
        name = str(fifo)
        writer.start()
    with ScriptedServer(scripted.correct) as server:
        done = subprocess.run(
            [*COMMAND, server.target, *QUICK, "--json", "-w", workers, "--data", name],
            input=LINES,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    if writer.ident:
        writer.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["by_action"] == {"echo": {"sent": 20, "ok": 20, "failed": 0}}


# --- what the server does not know ---------------------------------------------------------


def unknowing(peer):
    """Ours, of which every action but echo is unknown."""
    while True:
        request = peer.request()
        if request["action"] == "echo":
            peer.reply(peer.right(request))
        else:
            peer.reply({"error": {"code": "unknown-action", "message": "there is no such action"}})


def tutorial(peer):
    """One-shot, and without codes."""
    request = peer.request()
    peer.reply({"result": f'Error: invalid action "{request["action"]}".'}, connection=None)


@pytest.mark.parametrize("behaviour", [unknowing, tutorial])
def test_an_action_that_the_server_does_not_know_is_told_before_the_run(tmp_path, behaviour, capsys):
    with ScriptedServer(behaviour) as server:
        for words in (["--action", "serch"], ["--mix", "echo=5,serch=1"], ["--action", "serch", "-w", "2"]):
            if behaviour is tutorial and "--mix" in words:
                words = ["--mix", "serch=1,ecko=1"]
            assert main(["load", server.target, *QUICK, *words, "-o", str(tmp_path / "run")]) == 2
            said = capsys.readouterr()
            assert said.out == ""
            assert "does not know the action 'serch' (unknown-action): check --action" in said.err
        assert server.requests <= 4
        assert list((tmp_path / "run").iterdir()) == []
        assert main(["load", server.target, *QUICK, "--action", "serch", "--verify", "off"]) == 0


def test_the_bundled_server_is_asked_too(capsys):
    assert main(["load", *QUICK, "--action", "serch"]) == 2
    assert "does not know the action 'serch'" in capsys.readouterr().err


def test_of_two_servers_both_are_asked(capsys):
    words = ["-c", "2", "-d", "1s", "--ui", "none", "--action", "confirm"]
    with ScriptedServer(scripted.correct) as a, ScriptedServer(unknowing) as b:
        assert main(["load", a.target, "--against", b.target, *words]) == 2
        assert f"{b.port} does not know the action 'confirm'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behaviour", "code"), [(scripted.complaining, 4), (scripted.silent_after(0), 3), (scripted.reset_after(0), 3)]
)
def test_a_run_in_which_nothing_succeeded_never_exits_0(behaviour, code):
    with ScriptedServer(behaviour) as server:
        done = load(server.target, "-n", "4", "-c", "2", "--timeout", "100ms", "--ui", "none")
    assert done.returncode == code, done.stdout


def test_verified_is_said_only_of_replies_whose_right_answer_is_known(tmp_path, capsys):
    (tmp_path / "mixed").write_text('{"action": "mine", "value": 1, "expect": 1}\n{"action": "other", "value": 1}\n')
    told = {
        ("--action", "echo"): "20 ok, every reply verified, 0 failed",
        ("--action", "mine"): "20 ok, every reply whole, 0 failed",
        ("--verify", "frame"): "20 ok, every reply whole, 0 failed",
        ("--data", str(tmp_path / "mixed")): "20 ok, verified where the right answer is known and whole where not "
        "(other), 0 failed",
    }
    with ScriptedServer(scripted.correct) as server:
        for words, said in told.items():
            assert main(["load", server.target, *QUICK, *words]) == 0
            assert said in capsys.readouterr().out


# --- a terminal that closes ----------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_that_closes_ends_the_run_and_its_results_are_kept(tmp_path, workers):
    out = tmp_path / "run"
    with ScriptedServer(scripted.correct) as server:
        words = ["-c", "2", "-d", "1h", "--warmup", "0", "--interval", "50ms", "-w", workers, "--ui", "plain"]
        pid, terminal = pty.fork()
        if not pid:
            try:
                os.execv(sys.executable, [*COMMAND, server.target, *words, "-o", str(out)])
            finally:
                os._exit(127)
        try:
            seen = b""
            while b"measuring" not in seen:
                seen += os.read(terminal, 4096)
        finally:
            os.close(terminal)  # the window is closed: SIGHUP to all of them, and nothing can be printed
        _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status), os.WTERMSIG(status)
    run = read_run(out)
    assert run.summary["run"]["interrupted"] is True
    assert run.summary["accounting"]["ok"] > 0
    assert (out / "report.html").exists()


def test_hup_is_as_term_and_stays_ignored_under_nohup(tmp_path):
    with ScriptedServer(scripted.correct) as server:
        words = ["-c", "2", "-d", "1h", "--warmup", "0", "--interval", "50ms"]
        process = started(server.target, *words)
        until(process, "measuring")
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 143
        assert "interrupted by SIGTERM" in out
        process = subprocess.Popen(
            ["nohup", *COMMAND, server.target, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        until(process, "measuring")
        process.send_signal(signal.SIGHUP)
        until(process, "measuring")
        until(process, "measuring")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 143
