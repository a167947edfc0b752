"""What becomes of a run whose files, pipes, names or terminal are not what they were? As a user meets it."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from multiconn.commands.client import main
from multiconn.loadtest.output.saved_run import read_run
from tests.support import scripted
from tests.support.scripted import ScriptedServer

from .test_load import COMMAND, load, started, until

QUICK = ("-n", "20", "-c", "2", "--ui", "none")


# --- the files of -o -----------------------------------------------------------------------


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
