"""What a peer, a trace or a saved run says can neither draw on a terminal nor forge a line, in any command or log.

`HOSTILE` goes in wherever somebody else's words can; what comes out on both streams must be printable,
line by line. One exception is on purpose and not here: `request` and `shell` write a *text* result as it is
into a pipe (`tests/libclient/test_output.py` has the terminal).
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eventloop import parse_address
from tests.study.recording import record
from tests.support.scripted import Caller, ScriptedServer, correct
from tests.support.wire import KEEP, header, message

ROOT = Path(__file__).resolve().parents[1]
#: Title and colour of the terminal, BEL, carriage return, NEL, LINE SEPARATOR, bidirectional controls, CSI
#: in C1, DEL, a lone surrogate, and what would be a line of its own.
HOSTILE = "\x1b]0;t\x07\x1b[31m\r\x85\u2028\u202e\u2066\x9b\x7f\ud800\nFORGED: \u2029\tx"


def run(*words: str, stdin: str = "", code: int | None = None) -> str:
    """Both streams of a command, of which every line is printable; an encoder must not have saved it."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        input=stdin.encode(),
        capture_output=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    text = (done.stdout + done.stderr).decode()
    harmless(text)
    assert "Traceback" not in text
    assert code in (None, done.returncode), text
    return text


def harmless(text: str, begins: str = " *") -> None:
    """Every line is printable, and none is forged: none begins so."""
    assert text
    wrong = [line for line in text.split("\n") if not line.isprintable() or re.match(f"{begins}FORGED", line)]
    assert wrong == []


def replying(reply: dict[str, object]) -> Callable[[Caller], None]:
    def behave(peer: Caller) -> None:
        while True:
            peer.request()
            peer.reply(reply)

    return behave


def sending(data: bytes) -> Callable[[Caller], None]:
    def behave(peer: Caller) -> None:
        peer.request()
        peer.send(data)

    return behave


BEHAVIOURS = {
    "an error": replying({"error": {"code": HOSTILE, "message": HOSTILE}}),
    "the tutorial's error": replying({"result": f"Error: {HOSTILE}"}),
    "an object": replying({"result": {HOSTILE: [HOSTILE]}}),
    "a content type": sending(header(2, **{"content-type": f"binary/{HOSTILE}"}) + b"\x1b\n"),
    "an encoding": sending(header(2, **{"content-encoding": HOSTILE}) + b"{}"),
    "an id": sending(header(2, id=HOSTILE[:60]) + b"{}"),
    "an event": sending(header(2, event=HOSTILE) + b"{}"),
    "no JSON": sending(header(2) + HOSTILE[:2].encode()),
    "no message": sending(HOSTILE.encode("utf-8", "replace")),
}


@pytest.mark.parametrize("what", BEHAVIOURS)
def test_of_a_server_s_words_none_acts(what: str, tmp_path: Path) -> None:
    with ScriptedServer(BEHAVIOURS[what]) as server:
        once = ("-c", "1", "-n", "3", "--warmup", "0", "--ui", "plain", "--timeout", "5s")
        if what != "the tutorial's error":  # a text result
            run("app_client.py", "request", server.target, "echo", "x", "--timeout", "5s")
            run("app_client.py", "shell", server.target, "--timeout", "5s", stdin="/echo x\n/echo y\n")
            path = str(tmp_path / "answer")
            run("app_client.py", "request", server.target, "echo", "x", "-o", path, "--timeout", "5s")
        run("app_client.py", "request", server.target, "echo", "x", "--full", "--timeout", "5s")
        run("app_client.py", "load", server.target, *once, "--action", "confirm")
        run("app_client.py", "load", server.target, *once, "--json", "-o", str(tmp_path / "run"))
        run("app_client.py", "report", str(tmp_path / "run"), code=0)
        page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert not {"\x1b", "\x07", "\x85", "\x9b", "\u2028", "\u202e", "\u2066"} & set(page)
    for name in ("summary.json", "errors.jsonl", "timeseries.jsonl"):
        if (tmp_path / "run" / name).exists():
            harmless((tmp_path / "run" / name).read_text(encoding="utf-8"))


def test_of_what_an_echo_server_gives_back_nothing_acts() -> None:
    def other(peer: Caller) -> None:
        peer.sock.recv(100)
        peer.send(HOSTILE.encode("utf-8", "replace"))

    with ScriptedServer(other) as server:
        run("app_client.py", "echo", server.target.removeprefix("tcp://"), "x" * 50, code=4)


def test_of_two_saved_runs_names_nothing_acts(tmp_path: Path) -> None:
    with ScriptedServer(correct) as server:
        for side in "ab":
            words = ("-d", "300ms", "-c", "1", "--warmup", "0", "--ui", "none", "-o", str(tmp_path / side))
            run("app_client.py", "load", server.target, *words)
            path = tmp_path / side / "summary.json"
            summary = json.loads(path.read_text(encoding="utf-8"))
            summary["run"]["name"] = summary["run"]["argv"][0] = HOSTILE
            path.write_text(json.dumps(summary), encoding="utf-8")
            run("app_client.py", "report", str(tmp_path / side), code=0)
    run("app_client.py", "compare", str(tmp_path / "a"), str(tmp_path / "b"))
    run("app_client.py", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json")


# --- the study kit -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of the real server, to which a peer has said all that."""
    told = {"content-type": f"binary/{HOSTILE}", "content-length": 2, "connection": "keep-alive"}
    path = tmp_path_factory.mktemp("hostile") / "trace"
    path.write_bytes(
        record(
            [header(2, **told) + b"\x1b\n", header(2, event=HOSTILE) + b"{}", header(2, id=HOSTILE[:60]) + b"{}", None]
        )
    )
    return path


@pytest.mark.parametrize("command", ["explain", "replay", "coverage"])
def test_of_a_trace_s_words_none_acts(command: str, trace: Path) -> None:
    text = run("-m", "study", command, str(trace))
    assert command != "explain" or "binary/\\x1b]0;t\\x07" in text


@pytest.mark.parametrize("field", ["peer", "local", "reason", "state", "call", "result", "source", "part"])
def test_of_a_trace_that_was_made_up_no_field_acts(field: str, trace: Path, tmp_path: Path) -> None:
    records = [json.loads(piece) for piece in trace.read_bytes().split(b"\x1e")[1:]]
    for event in records[1:]:
        if isinstance(event["data"].get(field), str):
            event["data"][field] = HOSTILE
    path = tmp_path / "made-up"
    path.write_bytes(b"".join(b"\x1e" + json.dumps(each).encode() + b"\n" for each in records))
    for command in ("explain", "replay", "coverage"):
        done = subprocess.run(
            [sys.executable, "-m", "study", command, str(path)], cwd=ROOT, capture_output=True, timeout=50, check=False
        )
        harmless((done.stdout + done.stderr).decode())


def test_of_what_is_typed_into_step_nothing_acts() -> None:
    # A control character can't stand in a line of a script but as bytes.
    content = HOSTILE.encode("utf-8", "replace").hex()
    run("-m", "study", "step", "-", stdin=f"hex {content}\npipe\nsend\nstate\nframe '\x1b[31m' x\nsend\n\x1b[31m\n")


# --- the server's log --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_of_what_reaches_the_server_s_log_nothing_acts(form: str, tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(
        "from libserver import Actions, ActionError\nactions = Actions()\n"
        f"@actions.add('fail')\ndef fail(request):\n    raise ValueError({HOSTILE!r} + request['value'])\n"
        f"@actions.add('return')\ndef give(request):\n    return {{request['value']: object()}}\n",
        encoding="utf-8",
    )
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "app_server.py"), "127.0.0.1", "0", "--app", "hostile:actions",
         "--log-format", form, "--log-level", "debug"],
        cwd=tmp_path, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )  # fmt: skip
    try:
        assert server.stderr is not None
        first = server.stderr.readline().decode()
        address = json.loads(first)["message"] if form == "json" else first
        target = address.split()[-1]
        assert parse_address(target).port
        for action in ("fail", "return", HOSTILE.replace("\ud800", "")):
            run("app_client.py", "request", target, "--", action, HOSTILE.replace("\ud800", ""), code=4)
        there = parse_address(target)
        for data in (HOSTILE.encode("utf-8", "replace"), message(HOSTILE.encode("utf-8", "replace"), **KEEP)):
            with socket.create_connection((there.host, there.port)) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
        server.send_signal(signal.SIGTERM)
        log = server.stderr.read().decode()
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
        server.stderr.close()
    harmless(log, begins="")  # what an exception says stands in its traceback, which is indented
    assert "ValueError" in log
    if form == "json":
        told = [json.loads(line) for line in log.splitlines()]
        assert any("\x1b]0;t\x07" in str(entry.get("traceback")) for entry in told)
