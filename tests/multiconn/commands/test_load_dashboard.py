"""The dashboard on a terminal: it gives the terminal back whatever happens."""

import errno
import fcntl
import importlib.util
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from multiconn.commands import client
from multiconn.commands import load as load_cli

ROOT = Path(__file__).resolve().parents[3]


ENTER, LEAVE, HIDE, SHOW = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25l", b"\x1b[?25h"


needs_rich = pytest.mark.skipif(not importlib.util.find_spec("rich"), reason="rich is not installed: the extra tui")


def test_without_rich_or_a_terminal_it_is_one_clear_line(monkeypatch, capsys, tmp_path):
    run = ["load", "127.0.0.1:1", "--ui", "live", "-o", str(tmp_path / "run")]
    assert client.main(run) == 2
    assert "needs a terminal" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(load_cli, "find_spec", lambda name: None)
    assert client.main(run) == 2
    told = capsys.readouterr().err
    assert "needs the package rich" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


class Terminal:
    """A command on a pseudo-terminal of its own, and everything it wrote there."""

    def __init__(self, *words, columns=100, rows=30):
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "app_client.py"), "load", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**environment, "TERM": "xterm-256color", "PYTHONUTF8": "1"},
        )
        os.close(slave)
        self.written = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, words, since=0):
        """Read until the words were written; where they end."""
        return self._until(lambda: words in self.written[since:]) and self.written.index(words, since) + len(words)

    def finish(self):
        """Read to the end; the exit code. The end: nobody has the terminal open any more, the dashboard neither."""
        self._until(lambda: False)
        os.close(self._master)
        return self.process.wait(30)

    def _until(self, done):
        deadline = time.monotonic() + 40
        while not done():
            left = deadline - time.monotonic()
            assert left > 0, self.written[-2000:]
            if select.select([self._master], [], [], left)[0]:
                try:
                    data = os.read(self._master, 65536)
                except OSError as error:
                    if error.errno != errno.EIO:  # Linux' way of saying that nobody has the other end
                        raise
                    data = b""
                if not data:
                    return False
                self.written += data
        return True

    @property
    def restored(self):
        """The last words about the screen and the cursor are: leave, show."""
        out = self.written
        return out.rfind(LEAVE) > out.rfind(ENTER) >= 0 and out.rfind(SHOW) > out.rfind(HIDE) >= 0


SHORT = ("-c", "5", "-r", "200", "--warmup", "0", "--interval", "100ms", "--ui", "live")


@needs_rich
def test_a_run_on_a_terminal_ends_with_the_ordinary_screen_and_report():
    terminal = Terminal(*SHORT, "-d", "1500ms")
    at = terminal.wait_for(b"measuring")
    terminal.resize(60, 20)
    at = terminal.wait_for(b"measuring", at)
    assert terminal.finish() == 0
    assert terminal.restored
    report = terminal.written[terminal.written.rfind(LEAVE) :]
    assert b"replies/s" in report
    assert b"verdict" in report
    assert b"load tcp://" in terminal.written[: terminal.written.find(ENTER)]


@needs_rich
def test_ctrl_c_is_the_runs_and_the_partial_report_is_told():
    terminal = Terminal(*SHORT, "-d", "60s")
    terminal.wait_for(b"measuring")
    os.killpg(terminal.process.pid, signal.SIGINT)  # as a terminal does: to the dashboard too
    assert terminal.finish() == 130
    assert terminal.restored
    assert b"interrupted by SIGINT" in terminal.written[terminal.written.rfind(LEAVE) :]


@needs_rich
def test_a_generator_that_is_killed_leaves_the_terminal_as_it_was():
    terminal = Terminal(*SHORT, "-d", "60s")
    terminal.wait_for(b"measuring")
    terminal.process.kill()
    assert terminal.finish() == -signal.SIGKILL
    assert terminal.restored


@needs_rich
def test_a_dashboard_that_dies_gives_way_to_lines(tmp_path):
    terminal = Terminal(*SHORT, "-d", "2s")
    terminal.wait_for(b"measuring")
    os.kill(_dashboard_of(terminal.process.pid), signal.SIGKILL)
    terminal.wait_for(b" s  measuring ", terminal.wait_for(LEAVE))
    assert terminal.finish() == 0
    assert terminal.restored


def _dashboard_of(parent):
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"multiconn.commands.load_dashboard" in command:
            return int(path.parent.name)
    raise AssertionError("there is no dashboard")
