"""What becomes of whom a stopped process kept waiting?

Ctrl-Z, a debugger, a frozen container: the process stands still, the network does not. What came in time is
heard in time when it goes on, although every timer has run out by then. In real processes with real signals.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.peer import PATIENCE
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import keep
from tests.test_app_server import kept_alive, running

ROOT = Path(__file__).resolve().parents[1]

#: Seconds of the timeouts that run out while the process is stopped, and for how long it is.
TIMEOUT = 2.0
STOPPED = 3.0


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still in here, longer than the timeouts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        _, status = os.waitpid(pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        until = time.monotonic() + STOPPED
        yield
        time.sleep(max(0.0, until - time.monotonic()))  # what is waited for is the end of its timeouts
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_server_that_was_stopped_answers_what_came_meanwhile() -> None:
    limits = [f"--{name}-timeout={TIMEOUT}s" for name in ("header", "content", "idle")]
    with running("127.0.0.1", "0", "--min-data-rate=0", *limits) as command:
        address = command.address()
        fresh, inside = command.peer(address), command.peer(address)
        request = keep("echo", "in time")
        inside.send(request[:-1])
        idle = kept_alive(command, address)  # served last, so the others have been heard of
        with stopped(command.process.pid):
            fresh.send(request)
            inside.send(request[-1:])
            idle.send(request)
        for peer in (fresh, inside, idle):
            assert peer.reply().result == "in time"
        command.signal(signal.SIGTERM)
        code, lines = command.end()
    assert code == 0
    assert lines[-1] == "Closed: accepted 3 (shutdown 3)"


def test_a_client_that_was_stopped_takes_the_reply_that_came_meanwhile() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def behaviour(peer: Caller) -> None:
        request = peer.request()
        asked.set()
        assert may_answer.wait(PATIENCE)
        peer.reply(peer.right(request))
        peer.request()  # until it goes

    command = [sys.executable, str(ROOT / "app_client.py"), "request", "--timeout", f"{TIMEOUT}s"]
    with ScriptedServer(behaviour) as server:
        process = subprocess.Popen(
            [*command, server.target, "echo", "in time"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert asked.wait(PATIENCE)
            with stopped(process.pid):
                may_answer.set()
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, b"in time\n", b"")
