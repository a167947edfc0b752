"""Is every signal heard at once, whatever the loop is doing?

In subprocesses: a signal is a process's affair. What they write is read line by line, so nothing here sleeps.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.peer import Peer, connected
from tests.support.wire import ask, keep
from tests.test_app_server import SCRIPT, Command, fails, kept_alive, running

APP = """
import sys, time
from libserver import Actions
actions = Actions()

def stuck():
    sys.stderr.write("begun\\n")  # in one piece: the log's thread writes there, too
    while True:
        time.sleep(60)

@actions.add("forever")
def handler(request):
    stuck()

@actions.add("for a while")
def for_a_while(request):
    sys.stderr.write("begun\\n")  # in one piece: the log's thread writes there, too
    time.sleep(request["value"])

@actions.add("long call")
def long_call(request):
    sys.stderr.write("begun\\n")  # in one piece: the log's thread writes there, too
    return sum(range(60_000_000))  # one call, that returns to Python at its end only, as a parser does
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def asked(command: Command, action: str, value: object = None) -> Any:
    """A peer whose action has begun."""
    peer = command.peer(command.address())
    peer.send(keep(action, value))
    assert command.line() == "begun"
    return peer


# --- the watchdog ---------------------------------------------------------------------------


def test_the_first_signal_is_told_at_once_and_the_action_that_holds_the_loop_is_named_and_left(app: Path) -> None:
    with running("127.0.0.1", "0", "--app", "app:actions", "--drain-timeout", "3s", cwd=app) as command:
        asked(command, "forever")
        began = time.monotonic()
        command.signal(signal.SIGTERM)
        assert command.line() == "Draining (SIGTERM)"
        assert time.monotonic() - began < 2.0  # not when the loop comes round: it never does
        warning = command.line()
        code, lines = command.end()
    assert "warning: no drain yet" in warning
    assert "the action 'forever' has not returned" in warning
    assert code == 3
    assert time.monotonic() - began < 2.0 + 3.0 + 2.0
    (stopped,) = (line for line in lines if "error:" in line)
    assert "stopped in the middle of a handler that does not return: the action 'forever'" in stopped
    for where in ("app.py", "in handler", "in stuck"):
        assert any(where in line for line in lines), lines
    assert not any("run_once" in line for line in lines), "the stack begins with the handler"


def test_a_drain_timeout_is_kept_though_it_is_shorter_than_our_patience(app: Path) -> None:
    with running("127.0.0.1", "0", "--app", "app:actions", "--drain-timeout", "100ms", cwd=app) as command:
        asked(command, "forever")
        command.signal(signal.SIGTERM)
        assert command.line() == "Draining (SIGTERM)"
        code, lines = command.end()
    assert code == 3
    assert "'forever'" in lines[0]


def test_without_a_drain_timeout_it_is_told_and_a_second_signal_ends_it(app: Path) -> None:
    with running("127.0.0.1", "0", "--app", "app:actions", "--drain-timeout", "0", cwd=app) as command:
        asked(command, "forever")
        command.signal(signal.SIGTERM)
        assert command.line() == "Draining (SIGTERM)"
        assert "'forever'" in command.line()
        command.signal(signal.SIGTERM)
        code, lines = command.end()
    assert code == 128 + signal.SIGTERM
    assert any("stopped in the middle" in line for line in lines)


def test_a_handler_that_comes_back_in_time_costs_nothing_but_a_line(app: Path) -> None:
    with running("127.0.0.1", "0", "--app", "app:actions", "--drain-timeout", "30s", cwd=app) as command:
        peer = asked(command, "for a while", 2.5)
        command.signal(signal.SIGTERM)
        assert command.line() == "Draining (SIGTERM)"
        assert "'for a while'" in command.line()
        assert peer.reply().result is None
        peer.close()
        code, lines = command.end()
    assert code == 0
    assert lines[-1].startswith("Closed: accepted 1")


def test_the_file_of_a_unix_socket_is_removed_though_the_loop_is_left(app: Path) -> None:
    path = app / "s"
    arguments = ("--unix", str(path), "--app", "app:actions", "--drain-timeout", "200ms")
    with running(*arguments, cwd=app) as command:
        asked(command, "forever")
        assert path.exists()
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 3
    assert not path.exists()


def delivered(pid: int, number: int) -> None:
    """Wait until the signal is no longer pending for the process: its C handler has run, or is about to."""
    deadline = time.monotonic() + 20
    while any(
        int(mask, 16) >> (number - 1) & 1
        for mask in re.findall(r"(?:SigPnd|ShdPnd):\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    ):
        assert time.monotonic() < deadline, "it is not delivered"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what is pending is read from /proc")
def test_two_signals_of_one_number_during_one_long_call_are_two(app: Path) -> None:
    """Python calls their handler once, at the end of the call."""
    with running("127.0.0.1", "0", "--app", "app:actions", "--drain-timeout", "1h", cwd=app) as command:
        asked(command, "long call")
        for _ in range(2):
            command.signal(signal.SIGTERM)
            delivered(command.process.pid, signal.SIGTERM)
        code, lines = command.end()
    assert code == 128 + signal.SIGTERM
    assert [line for line in lines if line.startswith("Draining")] == ["Draining (SIGTERM)"]


# --- signals that ask ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGHUP, "SIGHUP: nothing to reload"),
        (signal.SIGUSR2, "SIGUSR2: there is no hand-over yet"),
        (signal.SIGUSR1, "Open connections: 1, accepted: 1"),
    ],
)
def test_it_serves_on_and_says_what_it_did(tmp_path: Path, number: int, words: str) -> None:
    path = tmp_path / "s"
    with running("--unix", str(path), "--log-level", "error") as command:
        address = command.address()
        peer = kept_alive(command, address)
        command.signal(number)
        assert command.line().startswith(words)
        if number == signal.SIGUSR1:
            assert command.line().startswith("peer=unix")
        peer.send(keep("echo", 2))
        assert peer.reply().result == 2
        peer.close()
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 0
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_while_it_starts_nothing_that_asks_kills_it(tmp_path: Path, number: int) -> None:
    """The module of actions is imported before there is anybody to ask."""
    (tmp_path / "slow_start.py").write_text(
        f"import os\nfrom libserver import Actions\nos.kill(os.getpid(), {int(number)})\nactions = Actions()\n"
    )
    with running("127.0.0.1", "0", "--app", "slow_start:actions", cwd=tmp_path) as command:
        peer = command.peer(command.address())
        peer.send(ask("echo", 1))
        assert peer.reply().result == 1
        peer.close()
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 0


def test_the_first_line_that_runs_ignores_them() -> None:
    """Before the imports, which take longer than all the rest of the start."""
    program = (
        "import builtins, signal, sys; sys.argv = ['app_server.py', '--version']\n"
        f"sys.path.insert(0, {str(Path(SCRIPT).parent)!r})\nimport app_server\n"
        "assert 'libserver' not in sys.modules and 'argparse' not in sys.modules\n"
        "real = builtins.__import__\n"
        "def look(name, *more):\n"
        "    if name.startswith('libserver'):\n"
        "        states = [signal.getsignal(n) for n in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)]\n"
        "        assert states == [signal.SIG_IGN] * 3, states\n"
        "        print('looked')\n"
        "        builtins.__import__ = real\n"
        "    return real(name, *more)\n"
        "builtins.__import__ = look\napp_server.main(['--version'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("looked")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_ends_it_while_it_starts_leaves_no_file_behind(tmp_path: Path, number: int, code: int) -> None:
    """It comes when the UNIX socket is bound and the server is not whole yet."""
    path = tmp_path / "s"
    (tmp_path / "dying.py").write_text(
        "import os\nimport libserver.listeners as listeners\nfrom libserver import Actions\nactions = Actions()\n"
        "import eventloop.listener\ninit = eventloop.listener.Listener.__init__\n"
        "def dying(self, *args, **more):\n"
        f"    assert os.path.exists({str(path)!r})\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    init(self, *args, **more)\n"
        "eventloop.listener.Listener.__init__ = dying\n"
    )
    line = fails(code, "--unix", str(path), "--app", "dying:actions", cwd=tmp_path)
    assert line == "app_server.py: interrupted"
    assert not path.exists()


def test_a_terminal_that_closes_does_not_end_it(tmp_path: Path) -> None:
    """SIGHUP comes, and what it writes has nowhere to go."""
    path = tmp_path / "s"
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--unix", str(path)], stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    try:
        os.close(slave)
        assert b"Listening" in os.read(master, 1000)
        os.close(master)
        process.send_signal(signal.SIGHUP)
        peer = Peer(connected(_Unix(path)))
        peer.send(ask("echo", 1))
        assert peer.reply().result == 1
        peer.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert not path.exists()


class _Unix:
    scheme = "unix"

    def __init__(self, path: Path) -> None:
        self.path = str(path)
