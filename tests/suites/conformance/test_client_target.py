"""Is a client's command filled in, and is it judged by what it says and how it ends?"""

from __future__ import annotations

import shlex
import shutil
import sys

import pytest

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, CLIENT, Case, Failed, Informational, Options
from suites.conformance.client_target import ClientRun, ClientTarget, open_target
from suites.conformance.targets import CannotReach


def test_a_command_is_filled_in_or_gets_the_four_words_of_the_tutorial() -> None:
    program = shutil.which("sh") or sys.executable
    plain = ClientTarget(program, Options())
    assert plain.argv(1, "search", "a b") == [program, "127.0.0.1", "1", "search", "a b"]
    placed = ClientTarget(f"{program} -x {{host}}:{{port}} '{{action}} it' {{value}}", Options())
    assert placed.argv(7, "echo", '{port} "q"') == [program, "-x", "127.0.0.1:7", "echo it", '{port} "q"']


def test_there_are_client_cases_for_many_mechanisms() -> None:
    load_cases()
    cases = [case for case in CASES.values() if case.role == CLIENT]
    assert len(cases) >= 100
    assert len({case.mechanism for case in cases}) >= 40


@pytest.mark.parametrize(
    ("command", "words"),
    [("", "no such program"), ("/no/such/client", "no such program"), ("'", "is not a command line")],
)
def test_a_command_that_can_not_be_run_is_refused(command: str, words: str) -> None:
    with pytest.raises(CannotReach, match=words):
        open_target(command, Options())


def client(program: str) -> ClientRun:
    """A run of a client that is this program of Python, with HOST PORT ACTION VALUE."""
    case = Case("T1", "t", "m", "s", "e", lambda run: None, role=CLIENT)
    return ClientTarget(f"{sys.executable} -c {shlex.quote(program)}", Options(patience=0.2)).begin(case)


ASKS = """
import json, socket, sys
content = json.dumps({"action": sys.argv[3], "value": sys.argv[4]}).encode()
fields = {"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8"}
header = json.dumps({**fields, "content-length": len(content), **CHANGED}).encode()
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.sendall(len(header).to_bytes(2, "big") + header + content + BEHIND)
reply = b""
while data := sock.recv(65536):
    reply += data
"""


def asking(then: str = "", changed: str = "{}", behind: str = "b''") -> ClientRun:
    return client(ASKS.replace("CHANGED", changed).replace("BEHIND", behind) + then)


def test_a_client_that_shows_the_result_and_ends_with_0_has_succeeded() -> None:
    run = asking("print(json.loads(reply[2 + reply[1]:])['result'])")
    try:
        caller = run.asked()
        assert caller.fields["content-type"] == "text/json"
        caller.send(caller.answer("found"))
        caller.finish()
        assert run.shows("found").code == 0
        run.no_further_connection()
    finally:
        run.close()


@pytest.mark.parametrize(
    ("then", "judged"),
    [
        ("sys.exit('what is this?')", []),
        ("print('what is this?')", ["an exit code that says that it failed"]),
        ("print('In the caves beneath the Misty Mountains. \N{RING}')", Failed),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Failed),
    ],
)
def test_a_client_that_got_no_reply_has_to_fail_by_itself_and_say_so(then: str, judged: object) -> None:
    run = asking(then)
    try:
        caller = run.asked()
        caller.finish()
        if judged is Failed:
            with pytest.raises(Failed):
                run.fails()
        else:
            run.fails()
            assert [expected for expected, _ in run.deviations] == judged
    finally:
        run.close()


def test_one_that_waits_while_its_peer_is_silent_is_not_judged() -> None:
    run = asking()
    try:
        run.asked()
        with pytest.raises(Informational, match=r"still waited after 0\.2 s of silence"):
            run.fails(silent=True)
    finally:
        run.close()


@pytest.mark.parametrize(
    ("changed", "behind", "words"),
    [
        ("{'content-length': -1}", "b''", "a content-length from 0"),
        ("{'byteorder': 'middle'}", "b''", "byteorder little or big"),
        ("{'connection': 'maybe'}", "b''", "connection keep-alive or close"),
        ("{'content-encoding': 'no-such'}", "b''", "JSON in the encoding that the header says"),
        ("{}", "b'more'", "bytes behind it"),
    ],
)
def test_a_request_is_judged_as_it_is_read(changed: str, behind: str, words: str) -> None:
    run = asking(changed=changed, behind=behind)
    try:
        with pytest.raises(Failed, match=words):
            run.asked()
    finally:
        run.close()


def test_one_that_pipelines_is_another_command_with_how_many_it_is_to_make() -> None:
    case = Case("T1", "t", "m", "s", "e", lambda run: None, role=CLIENT)
    program = f"{sys.executable} -c 'import sys; print(sys.argv[1:])' {{host}}:{{port}} -n {{count}}"
    run = ClientTarget("true", Options(pipelining_client=program)).begin(case)
    try:
        assert not run.running
        run.start_many(60)
        outcome = run.ended()
        assert outcome is not None
        assert outcome.out.split() == [f"['127.0.0.1:{run.port}',", "'-n',", "'60']"]
        assert not run.running
    finally:
        run.close()
    run = ClientTarget("true", Options()).begin(case)
    with pytest.raises(Informational, match="only with --pipelining-client"):
        run.start_many(60)
    run.close()


def test_a_client_that_does_not_connect_is_told_with_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    run = client("import sys; sys.exit('no network today')")
    try:
        run.start()
        assert run.ended() is not None
        with pytest.raises(Failed, match="no network today"):
            run.accept(0.01)
    finally:
        run.close()
