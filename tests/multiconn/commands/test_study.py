"""What a command of study says, and what it writes: for its owner alone, following no link, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from multiconn.commands.study import main
from tests.study.recording import CONVERSATION, record
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


# --- what each command says ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw() -> bytes:
    return record(CONVERSATION)


@pytest.fixture
def path(raw: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "server.trace"
    file.write_bytes(raw)
    return file


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=50
    )


def test_explain_replay_and_coverage_say_what_they_found(path, capsys):
    assert main(["explain", str(path)]) == 0
    assert "Connection 1" in capsys.readouterr().out
    assert main(["explain", "--together", str(path)]) == 0
    assert "\n1 " in capsys.readouterr().out
    assert main(["replay", str(path)]) == 0
    assert "1 connection took the same transitions again, 0 did not" in capsys.readouterr().out
    assert main(["coverage", str(path), str(path)]) == 0
    assert "rows taken" in capsys.readouterr().out


def test_a_replay_that_differs_ends_with_1(path, capsys):
    path.write_bytes(path.read_bytes().replace(b'"HEADER_READ"', b'"EOF_READ"'))
    assert main(["replay", str(path)]) == 1
    assert "connection 1: transition" in capsys.readouterr().out


def test_export_writes_a_capture(path, tmp_path):
    out = tmp_path / "a.pcap"
    assert main(["export", str(path), "-o", str(out)]) == 0
    assert out.read_bytes()[:4] == b"\xd4\xc3\xb2\xa1"


@pytest.mark.parametrize("form", ["mermaid", "dot", "svg"])
def test_diagram_prints_or_writes(form, tmp_path, capsys):
    assert main(["diagram", "--format", form]) == 0
    assert "LINGERING" in capsys.readouterr().out
    out = tmp_path / "machine"
    assert main(["diagram", "--machine", "RECEIVE", "--format", form, "-o", str(out)]) == 0
    assert "JSONHEADER" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["explain", "/does/not/exist"], "No such file"),
        (["explain", "{path}", "--connection", "9"], "there is no connection 9; there are 1"),
        (["replay", "{other}"], "is not a trace"),
        (["export", "{path}", "-o", "/does/not/exist"], "No such file"),
        (["diagram", "-o", "/tmp/x"], "say which with --machine"),
        (["diagram", "--machine", "RECEIVE", "-o", "/does/not/exist"], "No such file"),
        (["step", "/does/not/exist"], "No such file"),
        (["nonsense"], "invalid choice"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_2(words, said, path, tmp_path, capsys):
    other = tmp_path / "other"
    other.write_text("hello")
    assert main([word.format(path=path, other=other) for word in words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_trace_that_was_cut_off_is_read_to_there(path, capsys):
    path.write_bytes(path.read_bytes()[:-5])
    assert main(["explain", str(path)]) == 0
    assert "left out" in capsys.readouterr().err


def test_the_module_is_a_command_and_a_script_a_test(tmp_path):
    script = tmp_path / "lesson"
    script.write_text("frame search x\nsend\nexpect FINISHED\n")
    done = run("step", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "as expected" in done.stdout
    script.write_text("expect FINISHED\n")
    done = run("step", script)
    assert done.returncode == 1
    assert "line 1: expected FINISHED" in done.stderr
