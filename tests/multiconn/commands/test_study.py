"""What a command of study writes: for its owner alone, following no link, whole or not at all, under any name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from multiconn.commands.study import main
from tests.study.scribe import conversation

ROOT = Path(__file__).resolve().parents[3]

COMMANDS = {
    "diagram": ["diagram", "--machine", "RECEIVE"],
    "view": ["view", "{trace}"],
    "export": ["export", "{trace}"],
}


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """A trace under a name that is not UTF-8, with an escape in it."""
    path = tmp_path / os.fsdecode(b"\xff\x1b[31m.trace")
    path.write_bytes(bytes(conversation(2)[1].raw))
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_is_for_its_owner_alone_and_takes_no_link(
    command: str, trace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(trace=trace) for word in COMMANDS[command]]
    out = tmp_path / os.fsdecode(b"out-\xfe")
    assert main([*words, "-o", str(out)]) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    made = out.read_bytes()
    assert main([*words, "-o", str(out)]) == 0, "it was ours to write again"
    (tmp_path / "link").symlink_to(out)
    capsys.readouterr()
    assert main([*words, "-o", str(tmp_path / "link")]) == 2
    assert "is a symbolic link, which is not followed" in capsys.readouterr().err
    assert main([*words, "-o", "/dev/full"]) == 2
    assert "No space left" in capsys.readouterr().err
    assert out.read_bytes() == made
    assert sorted(os.listdir(tmp_path)) == sorted(["link", out.name, Path(trace).name])


def test_every_command_takes_a_trace_whose_name_is_not_utf_8(trace: str, tmp_path: Path) -> None:
    page = str(tmp_path / "page.html")
    words = (["explain"], ["coverage"], ["replay"], ["view", "-o", page], ["export", "-o", str(tmp_path / "pcap")])
    for command in words:
        done = subprocess.run(
            [sys.executable, "-m", "study", *command, trace], cwd=ROOT, capture_output=True, timeout=50, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        assert done.returncode in (0, 1), done.stderr.decode()  # 1: a replay of what a scribe wrote differs
    assert b"\\udcff\\x1b[31m.trace" in Path(page).read_bytes(), "named in escapes"
    missing = os.fsdecode(b"\xff\x1b[31m")
    for command in words:
        done = subprocess.run(
            [sys.executable, "-m", "study", *command, missing], cwd=ROOT, capture_output=True, timeout=50, check=False
        )
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
        assert b"\x1b" not in done.stderr
