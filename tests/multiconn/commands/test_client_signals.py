"""SIGTERM, and a terminal that closes: what a command had by then is told, and what it wrote is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventloop import EventLoop
from multiconn.commands import client
from multiconn.commands.client_signals import ended_by_signals
from study.trace import load
from tests.support.peer import PATIENCE
from tests.support.scripted import Caller, ScriptedServer

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, str(ROOT / "app_client.py")]


@contextmanager
def halfway(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command whose server has read what it sent and answered with four bytes of it."""
    answered = threading.Event()

    def answer(peer: Caller) -> None:
        peer.send(peer.sock.recv(65536)[:4])
        answered.set()
        while peer.sock.recv(65536):
            pass

    with ScriptedServer(answer) as server:
        process = subprocess.Popen(
            [*COMMAND, words[0], server.target, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert answered.wait(PATIENCE)
        yield process
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)],
    ids=["INT", "TERM", "HUP"],
)
def test_echo_tells_what_had_come_back(number: int, code: int) -> None:
    with halfway("echo", "hello", "there", "--timeout", "1h") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    first, total = out.splitlines()
    assert first.startswith("connection 1: FAILED: interrupted when ")
    assert first.endswith("of 10 bytes had come back")
    assert total.startswith("total: 1 connection, 2 messages, ")
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_trace_is_written_to_its_end(tmp_path: Path, number: int) -> None:
    with halfway("request", "echo", "1", "--timeout", "0", "--trace", str(tmp_path / "trace")) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "")
    trace = load(tmp_path / "trace")
    assert not trace.truncated
    assert trace.events[-1].name == "ended"


def test_what_is_ignored_stays_so_and_everything_is_as_before() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        terminate = signal.getsignal(signal.SIGTERM)
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
            with pytest.raises(SystemExit) as ended:
                signal.raise_signal(signal.SIGTERM)
        assert ended.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is terminate
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_changes() -> None:
    done = []

    def use() -> None:
        with ended_by_signals():
            done.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("words", [("echo", "hello"), ("request", "echo", "1")], ids=lambda words: words[0])
def test_a_signal_that_comes_just_before_a_command_sleeps_ends_the_sleep(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Python runs its handler between two instructions: what comes behind the last was heard of after the sleep."""
    wakes: list[int] = []
    run_once = EventLoop.run_once

    def looks(loop: EventLoop, timeout: float | None = None, at: float | None = None) -> int:
        wakes.append(signal.set_wakeup_fd(-1))
        signal.set_wakeup_fd(wakes[-1])
        return run_once(loop, timeout, at)

    def answer(peer: Caller) -> None:
        if words[0] == "echo":
            peer.send(peer.sock.recv(65536))
        else:
            peer.reply(peer.right(peer.request()), None)

    with ScriptedServer(answer) as server:
        monkeypatch.setattr(EventLoop, "run_once", looks)
        assert client.main([words[0], server.target, *words[1:]]) == 0
    assert wakes[0] >= 0
    assert signal.set_wakeup_fd(-1) == -1, "it is put back"
