"""A server of our own is started, heard, and surely ended."""

import signal
import sys

import pytest

from multiconn.loadtest.process.child import ChildError, ChildServer, server_command
from tests.multiconn.commands.test_load import alive


def script(text):
    return [sys.executable, "-c", text]


def test_a_child_that_ends_at_once_shows_its_last_words():
    with pytest.raises(ChildError, match=r"exit code 3(?s:.*)no such luck"):
        ChildServer(script("import sys; sys.stderr.write('no such luck'); sys.exit(3)")).start()


def test_a_child_that_will_not_stop_is_killed():
    child = ChildServer(
        script(
            "import signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('Listening on tcp://127.0.0.1:4', file=sys.stderr, flush=True)\nwhile 1: signal.pause()"
        )
    )
    address = child.start()
    assert address.port == 4
    child.stop(timeout=0.2)
    assert not alive(child.process.pid)
    assert child.process.returncode == -signal.SIGKILL
    child.stop()


def test_a_child_that_logs_a_lot_is_not_held_up():
    child = ChildServer(
        script(
            "import sys\nprint('Listening on tcp://127.0.0.1:4', file=sys.stderr, flush=True)\n"
            "for n in range(20000): print('line', n, file=sys.stderr)"
        )
    )
    with child as address:
        assert address.port == 4
        child.process.wait(20)
        child._reader.join()
        assert "line 19999" in child.died
    assert len(child.lines) < 100


def test_a_child_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr("multiconn.loadtest.process.child.START_TIMEOUT", 0.2)
    child = ChildServer(script("import time; time.sleep(60)"))
    with pytest.raises(ChildError, match="no address"):
        child.start()
    assert not alive(child.process.pid)


def test_a_server_for_very_many_connections_gets_room():
    assert "--max-connections" not in server_command(9000)
    assert server_command(15000)[-2:] == ["--max-connections", "16000"]
