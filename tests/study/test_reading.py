"""What is made of a trace: the story in sentences, the replay, the coverage, and the commands around them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from multiconn.commands.study import main
from protocol.states import MACHINES
from study import coverage
from study.explain import explain, explain_together
from study.replay import CannotReplay, replay
from study.trace import SYSCALL, TRANSITION, Event, Trace
from tests.study.recording import record, recorded
from tests.support.wire import request

ROOT = Path(__file__).resolve().parents[2]

ASK = request({"action": "search", "value": "morpheus"}, connection="keep-alive")
LARGE = request({"action": "echo", "value": "x" * 200_000}, connection="keep-alive")
SCRIPT = [ASK[:1], ASK[1:50], ASK[50:], ASK + ASK, None]


@pytest.fixture(scope="module")
def raw() -> bytes:
    return record(SCRIPT)


@pytest.fixture
def path(raw: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "server.trace"
    file.write_bytes(raw)
    return file


@pytest.fixture
def trace() -> Trace:
    return recorded(SCRIPT)


# --- explain -----------------------------------------------------------------------------------


def test_the_story_has_every_call_every_row_and_the_end(trace):
    text = "\n".join(explain(trace))
    assert text.startswith("Connection 1, seen by the server at 127.0.0.1:")
    assert "The selector says: there is something to read." in text
    assert "recv -> 1 byte." in text
    assert "recv -> 0: the peer has finished sending (EOF)." in text
    assert "send -> " in text
    for event in trace.events:
        if event.name == TRANSITION:
            assert event.data["reason"] in text
            assert event.data["source"] in text
    assert text.endswith("ms.")
    assert "Ended (peer-closed): 3 messages in, 3 out" in text


def test_refusals_and_errors_are_explained():
    def told(call: str, result: object, **more: object) -> str:
        event = Event(0, SYSCALL, "1", {"step": 1, "call": call, "result": result} | more)
        return "\n".join(explain(Trace("server", {}, [event])))

    assert "nothing has come yet" in told("recv", "EAGAIN", direction="in")
    assert "the peer reads too slowly" in told("send", "EAGAIN", direction="out")
    assert "10 of 20 bytes" in told("send", 10, asked=20, direction="out")
    assert "reset" in told("recv", "ECONNRESET", direction="in")
    assert "it failed" in told("send", "EIO", direction="out")
    assert "handshake is under way" in told("connect", "EINPROGRESS")
    assert "connected at once" in told("connect", 0, to="127.0.0.1:1")
    assert "handshake is done" in told("getsockopt", 0)
    assert "FIN" in told("shutdown", 0)
    assert "Not ended when the trace did" in told("close", 0)


def test_connections_are_told_together_in_the_order_of_their_steps():
    def event(time: float, group: str, step: int, count: int) -> Event:
        data = {"step": step, "call": "recv", "result": count, "direction": "in"}
        return Event(time, SYSCALL, group, data)

    events = [event(1, "1", 1, 10), event(2, "2", 1, 20), event(3, "1", 2, 30), event(3, "1", 2, 1)]
    told = list(explain_together(Trace("server", {}, events)))
    assert [line.split("Connection ")[1][0] for line in told[:2]] == ["1", "2"]
    assert [line for line in told if "recv" in line or " ms  " in line] == [
        "1       1.0 ms  Nobody woke it: a timer, a callback or its owner.",
        "               recv -> 10 bytes.",
        "2       2.0 ms  Nobody woke it: a timer, a callback or its owner.",
        "               recv -> 20 bytes.",
        "1       3.0 ms  Nobody woke it: a timer, a callback or its owner.",
        "               recv -> 30 bytes.",
        "               recv -> 1 byte.",
    ]
    assert [line[:4] for line in told[-2:]] == ["1 No", "2 No"]


# --- replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        SCRIPT,
        [request({"action": "echo"})],
        [ASK, b"\x00\x00", ASK],
        [ASK[:20], None],
        [LARGE[:70_000], LARGE[70_000:]],
    ],
    ids=["pipelined", "one-shot", "broken", "truncated", "large"],
)
def test_a_conversation_takes_the_same_transitions_again(script):
    verdicts = list(replay(recorded(script)))
    assert [verdict.differences for verdict in verdicts] == [[]]
    assert verdicts[0].compared >= 1


def test_a_trace_whose_bytes_were_changed_is_found_out(trace):
    call = next(e for e in trace.events if e.name == SYSCALL and e.data.get("bytes"))
    call.data["bytes"] = "ff"
    assert any("transition" in difference for verdict in replay(trace) for difference in verdict.differences)


@pytest.mark.parametrize(("key", "value"), [("input", "EOF_READ"), ("target", "FAILED"), ("state", "CONTENT")])
def test_a_transition_that_was_changed_is_found_out(trace, key, value):
    row = next(e for e in trace.events if e.name == TRANSITION and e.data["machine"] == "RECEIVE")
    row.data[key] = value
    assert any(verdict.differences for verdict in replay(trace))


@pytest.mark.parametrize("changes", [{"state": "LINGERING"}, {"target": "LINGERING"}, {"input": "CONNECTED"}])
def test_a_lifecycle_that_was_changed_is_found_out(trace, changes):
    row = [e for e in trace.events if e.name == TRANSITION and e.data["machine"] == "LIFECYCLE"][-1]
    row.data |= changes
    assert any(verdict.differences for verdict in replay(trace))


def test_a_transition_that_is_missing_is_found_out(trace):
    rows = [e for e in trace.events if e.name == TRANSITION]
    trace.events.remove(next(e for e in reversed(rows) if e.data["machine"] == "RECEIVE"))
    assert any(verdict.differences for verdict in replay(trace))


def test_bytes_that_were_not_kept_are_asked_for():
    with pytest.raises(CannotReplay, match="larger --trace-bytes"):
        list(replay(recorded([ASK], max_bytes=10)))


# --- coverage --------------------------------------------------------------------------------------


def test_rows_are_counted_and_those_never_taken_are_named(trace):
    taken = coverage.count([trace, trace])
    assert taken["RECEIVE", "PROTOHEADER", "PREFIX_READ"] == 6
    lines = list(coverage.report(taken))
    assert "        6  PROTOHEADER --PREFIX_READ--> JSONHEADER" in lines
    assert "    never  OPEN --SHUTDOWN--> DRAINING" in lines
    rows = sum(len(machine.rows) for machine in MACHINES)
    missing = len(coverage.never(taken))
    assert lines[-1] == f"{rows - missing} of {rows} rows taken, {missing} never"


def test_a_row_of_another_version_is_named():
    event = Event(0, TRANSITION, "1", {"machine": "RECEIVE", "state": "OLD", "input": "GO"})
    lines = list(coverage.report(coverage.count([Trace("server", {}, [event])])))
    assert "not in today's tables: RECEIVE OLD on GO" in lines[-1]


# --- the commands ----------------------------------------------------------------------------------


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
