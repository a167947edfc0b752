"""Every command with the standard streams that a parent may give it: real processes, real descriptors.

A command that prints or reads belongs into `LONG`, with words that make it print more than a pipe holds.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multiconn.commands import CANT_WRITE, READER_GONE, stdio
from tests.study.recording import record
from tests.support.scripted import ScriptedServer, complaining
from tests.support.wire import framed

ROOT = Path(__file__).resolve().parents[3]
CLIENT = ("app_client.py",)
STUDY = ("-m", "study")
PATIENCE = 50.0

TEXT = "x" * 100_000

#: Command -> the words after `python3`; {target} is a message server, {echo} a raw one, {trace} a trace, {a}
#: and {b} directories of load tests.
LONG = {
    "tutorial": (*CLIENT, "{host}", "{port}", "search", "morpheus"),
    "request": (*CLIENT, "request", "{target}", "echo", TEXT),
    "request -o -": (*CLIENT, "request", "{target}", "echo", TEXT, "-o", "-"),
    "shell": (*CLIENT, "shell", "{target}"),
    "echo": (*CLIENT, "echo", "{echo}", "-c", "100"),
    "load": (*CLIENT, "load", "{target}", "-n", "40", "-c", "2", "--warmup", "0", "--ui", "none"),
    "load --json": (*CLIENT, "load", "{target}", "-n", "40", "-c", "2", "--warmup", "0", "--ui", "none", "--json"),
    "report": (*CLIENT, "report", "{a}"),
    "compare": (*CLIENT, "compare", "{a}", "{b}"),
    "client --help": (*CLIENT, "--help"),
    "client --version": (*CLIENT, "--version"),
    "load --help": (*CLIENT, "load", "--help"),
    "server --help": ("app_server.py", "--help"),
    "study explain": (*STUDY, "explain", "{trace}"),
    "study coverage": (*STUDY, "coverage", "{trace}"),
    "study replay": (*STUDY, "replay", "{trace}"),
    "study diagram": (*STUDY, "diagram"),
    "study step": (*STUDY, "step", "-"),
    "conformance": ("-m", "suites.conformance", "--list"),
    "benchmarks": ("-m", "benchmarks", "--list"),
    "simulation": ("-m", "suites.simulation", "--replay", "1", "--trace"),
}
#: What those that read standard input are given.
STDIN = {
    "shell": b"".join(b"/echo %04d%s\n" % (n, b"y" * 996) for n in range(40)),
    "study step": b"frame search morpheus\nstate\nrows\n" * 60,
}
#: Those whose output is too short to fill a pipe.
SHORT = {"tutorial", "report", "compare", "load", "client --version", "client --help", "server --help"} | {
    "benchmarks",
    "study coverage",
    "study replay",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the words of a command name."""
    directory = tmp_path_factory.mktemp("streams")
    trace = directory / "trace"
    header = b'{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8", "content-length": 2}'
    trace.write_bytes(record([framed(header)[:2], *(header[n : n + 5] for n in range(0, 100, 5))]))
    server = subprocess.Popen(
        [sys.executable, "app_server.py", "127.0.0.1", "0", "--listen", "echo://127.0.0.1:0"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stderr is not None
        message_, echo = (server.stderr.readline().split()[-1] for _ in range(2))
        host, _, port = message_.removeprefix("tcp://").rpartition(":")
        found = {
            "target": message_,
            "host": host,
            "port": port,
            "echo": echo,
            "trace": str(trace),
            "a": str(directory / "a"),
            "b": str(directory / "b"),
        }
        for side in "ab":
            words = [*CLIENT, "load", message_, "-d", "300ms", "-c", "1", "--warmup", "0", "-o", found[side]]
            subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, timeout=PATIENCE, check=False)
        yield found
    finally:
        server.terminate()
        server.communicate()


def words_of(name: str, places: dict[str, str]) -> list[str]:
    return [sys.executable, *(word.format(**places) for word in LONG[name])]


def run(name: str, places: dict[str, str], **more: Any) -> subprocess.CompletedProcess[bytes]:
    """A command to its end; `input` unless it is given a `stdin`."""
    if "stdin" not in more:
        more["input"] = STDIN.get(name, b"")
    return subprocess.run(
        words_of(name, places), cwd=ROOT, **{"stderr": subprocess.PIPE, **more}, timeout=PATIENCE, check=False
    )


def held(descriptor: int) -> int:
    """How many bytes wait in a pipe."""
    return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.005)


# --- standard output -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux makes a pipe small")
@pytest.mark.parametrize("name", [name for name in LONG if name not in SHORT])
def test_a_slow_reader_of_a_non_blocking_pipe_gets_all(name: str, places: dict[str, str]) -> None:
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        words_of(name, places), cwd=ROOT, stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.DEVNULL
    )
    os.close(writer)
    assert process.stdin is not None
    with process, open(reader, "rb") as pipe:
        process.stdin.write(STDIN.get(name, b""))
        process.stdin.close()
        until(lambda: held(reader) >= size - 1000 or process.poll() is not None)  # full, or given up
        assert process.poll() is None, "it did not wait for room"
        came = pipe.read()
        code = process.wait(PATIENCE)
    if name.startswith("study") or name in ("conformance", "load --help", "simulation"):
        ordinary = run(name, places, stdout=subprocess.PIPE)
        assert (came, code) == (ordinary.stdout, ordinary.returncode)
        return
    assert code == 0
    if name == "load --json":
        assert json.loads(came)["schema"]
    elif name == "shell":
        assert came.decode().splitlines() == [f"{n:04}{'y' * 996}" for n in range(40)]
    elif name == "echo":
        assert came.decode().splitlines()[-1].endswith("all as sent")
        assert len(came.splitlines()) == 101
    else:
        assert came.decode() == TEXT + "\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("name", LONG)
def test_a_full_disk_is_a_sentence_and_exit_code_2(name: str, places: dict[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        done = run(name, places, stdout=full)
    said = done.stderr.decode()
    assert done.returncode == CANT_WRITE, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert [line for line in said.splitlines() if "standard output can't be written (No space left on device)" in line]


@pytest.mark.parametrize("name", LONG)
def test_a_reader_that_has_gone_ends_it_silently_as_sigpipe_does(name: str, places: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(name, places, stdout=writer)
    os.close(writer)
    said = done.stderr.decode()
    assert done.returncode == READER_GONE, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "written" not in said


def test_a_closed_standard_output_is_an_error_and_no_socket_takes_its_place(places: dict[str, str]) -> None:
    done = run("request", places, preexec_fn=lambda: os.close(1))
    assert done.returncode == CANT_WRITE
    assert b"standard output can't be written (Bad file descriptor)" in done.stderr


@pytest.mark.parametrize("name", LONG)
def test_with_a_closed_standard_error_the_output_holds_the_answer_alone(name: str, places: dict[str, str]) -> None:
    open_, closed = (
        run(name, places, stdout=subprocess.PIPE, preexec_fn=close) for close in (None, lambda: os.close(2))
    )
    assert closed.returncode == open_.returncode
    if name == "load --json":
        assert json.loads(closed.stdout)["schema"]
    elif name == "load":
        assert closed.stdout.startswith(b"\n  rate ")
    else:
        assert closed.stdout == open_.stdout


def test_with_a_closed_standard_error_sentences_are_nowhere_and_the_exit_code_tells(places: dict[str, str]) -> None:
    with ScriptedServer(complaining) as server:
        for words, code in (
            (["request", server.target, "x"], 4),
            (["request", "127.0.0.1:1", "x"], 3),
            (["request"], 2),
            (["nonsense"], 2),
            (["load", "127.0.0.1:1", "-c", "1", "-n", "1", "--source-ip", "192.0.2.1"], 2),
            (["report", "/does/not/exist"], 2),
            (["shell", "127.0.0.1:1"], 3),
        ):
            done = subprocess.run(
                [sys.executable, *CLIENT, *words], cwd=ROOT, stdout=subprocess.PIPE, timeout=PATIENCE, check=False,
                preexec_fn=lambda: os.close(2),
            )  # fmt: skip
            assert (words, done.stdout, done.returncode) == (words, b"", code)


def test_all_three_may_be_closed() -> None:
    for words, code in ((["app_server.py", "--log-level", "nonsense"], 2), (["-m", "study", "explain", "/x"], 2)):
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, timeout=PATIENCE, check=False,
            preexec_fn=lambda: os.closerange(0, 3),
        )  # fmt: skip
        assert done.returncode == code


# --- standard input --------------------------------------------------------------------------------


@contextmanager
def dripping(words: list[str], *pieces: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A command that reads a non-blocking pipe, into which the next piece goes once it has taken the last."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        for piece in pieces:
            # It has taken all and waits: a reader that gives up at an empty pipe has ended by then.
            until(lambda: held(reader) == 0 and (asleep(process.pid) or process.poll() is not None))
            os.write(writer, piece)
        until(lambda: held(reader) == 0 or process.poll() is not None)
        os.close(writer)
        yield process
    finally:
        os.close(reader)
        process.kill()
        process.communicate()


def asleep(pid: int) -> bool:
    """Is the process waiting for something?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("words", "pieces", "expected"),
    [
        (["app_client.py", "request", "{target}", "--file", "-", "--type", "text/json"],
         [b'{"action": "echo", ', b'"value": ', b'"all of it"}'], b"all of it\n"),
        (["app_client.py", "shell", "{target}"], [b"/echo a", b"bc\n/ec", b"ho def\n"], b"abc\ndef\n"),
        (["-m", "study", "step", "-"], [b"text ", b"ab\nexpect held", b" 0\n"], None),
    ],
)  # fmt: skip
def test_all_of_a_non_blocking_standard_input_is_read(
    words: list[str], pieces: list[bytes], expected: bytes | None, places: dict[str, str]
) -> None:
    with dripping([word.format(**places) for word in words], *pieces) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    if expected is None:
        assert b"expect held 0\n  as expected\n" in out
    else:
        assert out == expected


def test_a_closed_standard_input_is_told_where_it_is_asked_for(places: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, *CLIENT, "request", places["target"], "--file", "-"], cwd=ROOT, capture_output=True,
        timeout=PATIENCE, check=False, preexec_fn=lambda: os.close(0),
    )  # fmt: skip
    assert done.returncode == 2
    assert b"standard input is closed" in done.stderr


# --- a terminal --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "typed", "prompt", "answer"),
    [
        (["app_client.py", "shell", "{target}"], b"/echo abc\n\x04", b"> ", b"abc\n"),
        (["-m", "study", "step"], b"rows\n\x04", b"PROTOHEADER/OPEN> ", b"RECEIVE in PROTOHEADER:\n"),
    ],
)
def test_with_the_output_in_a_file_prompts_are_on_standard_error(
    words: list[str], typed: bytes, prompt: bytes, answer: bytes, places: dict[str, str], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    path = tmp_path / "answers"
    with open(path, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, *(word.format(**places) for word in words)],
            cwd=ROOT, stdin=theirs, stdout=file, stderr=theirs, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while prompt not in said:
            assert select.select([ours], [], [], PATIENCE)[0], said
            said += os.read(ours, 65536)
        os.write(ours, typed)
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:  # Linux: nobody has the other end any more
                break
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    written = path.read_bytes()
    assert answer in written
    assert prompt not in written
    assert b"\x1b" not in written


# --- in this process ---------------------------------------------------------------------------------


def test_streams_that_somebody_has_put_there_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdin, sys.stdout, sys.stderr

    def command() -> None:
        print("answer")
        print("remark", file=sys.stderr)

    assert stdio.run("x", command) == 0
    assert (sys.stdin, sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("answer\n", "remark\n")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (SystemExit, 0, ""),
        (SystemExit(3), 3, ""),
        (SystemExit("words"), 1, "words\n"),
        (KeyboardInterrupt, 130, "x: interrupted\n"),
    ],
)
def test_how_a_command_ended_is_its_exit_code(
    raised: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise raised

    assert stdio.run("x", command) == code
    assert capsys.readouterr().err == said
