"""What does somebody at a terminal get?  The real command on a pseudo-terminal of a given width."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.study.scribe import conversation

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 30.0


class Terminal:
    """A pseudo-terminal on which `python -m study ...` runs."""

    def __init__(self, columns: int, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "study", *arguments],
            cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "dumb"},
        )  # fmt: skip
        os.close(theirs)

    def until(self, words: str | None) -> str:
        """What is said up to these words; with None to the end."""
        deadline = time.monotonic() + PATIENCE
        raw = b""
        while words is None or words not in raw.decode(errors="replace"):
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} was not said, but {raw.decode(errors='replace')!r}"
            if select.select([self.ours], [], [], left)[0]:
                try:
                    piece = os.read(self.ours, 65536)
                except OSError:  # Linux: nobody has the other end any more
                    piece = b""
                if not piece:
                    assert words is None, f"{words!r} was not said, but {raw.decode(errors='replace')!r}"
                    break
                raw += piece
        return raw.decode().replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())


@contextmanager
def terminal(columns: int, *arguments: str) -> Iterator[Terminal]:
    it = Terminal(columns, *arguments)
    try:
        yield it
        assert it.process.wait(PATIENCE) == 0
    finally:
        it.process.kill()
        it.process.wait()
        os.close(it.ours)


def test_a_story_is_cut_between_words_at_the_terminal_s_edge(tmp_path: Path) -> None:
    (tmp_path / "trace").write_bytes(bytes(conversation(1)[1].raw))
    with terminal(60, "explain", str(tmp_path / "trace")) as it:
        narrow = it.until(None).splitlines()
    with terminal(300, "explain", str(tmp_path / "trace")) as it:
        wide = it.until(None).splitlines()
    assert max(map(len, narrow)) <= 60 < max(map(len, wide))
    assert " ".join(narrow).split() == " ".join(wide).split()
    at = next(number for number, line in enumerate(narrow) if "JSONHEADER on" in line)
    assert narrow[at].startswith(" " * 13 + "RECEIVE")
    assert narrow[at + 1].startswith(" " * 15)
    assert narrow[at + 1][15] != " "


def test_somebody_types_bytes_and_watches_the_machine_move() -> None:
    with terminal(80, "step") as it:
        assert "Begin with: frame search morpheus" in " ".join(it.until("PROTOHEADER/OPEN> ").split())
        it.type("frame search morpheus\n")
        assert "146 wait in the pipe" in it.until("PROTOHEADER/OPEN> ")
        it.type("send 2\n")
        assert "PREFIX_READ" in it.until("JSONHEADER/OPEN> ")
        it.type("nonsense\n")
        assert "means nothing here" in it.until("JSONHEADER/OPEN> ")
        it.type("send\n")
        said = it.until("FINISHED/DRAINING> ")
        assert "the message is whole and by its own word the last" in " ".join(said.split())
        assert max(map(len, said.splitlines())) <= 80
        it.type("\x04")  # Ctrl-D
        it.until(None)
