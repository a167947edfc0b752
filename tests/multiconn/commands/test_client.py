"""Which command is run, and how does each way to fail end? (In-process; see test_app_client.)"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator
from importlib import import_module

import pytest

import multiconn.commands.request
from libclient import BadReply, ErrorReply, Refused
from multiconn.commands import UsageError
from multiconn.commands.client import ADVICE, COMMANDS, main
from protocol import CODES
from tests.support.scripted import ScriptedServer, correct

REQUEST = ["request", "127.0.0.1:1", "search", "x"]


@pytest.fixture(autouse=True)
def collector_as_before() -> Iterator[None]:
    """A command freezes what it has imported: a process of its own ends with it, the tests' goes on."""
    yield
    gc.unfreeze()


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(multiconn.commands.request, "run", run)


FAILURES = [
    (UsageError("write this"), 2, "write this"),
    (Refused("nobody there"), 3, "nobody there"),
    (BadReply("not ours"), 3, "not ours"),
    (ErrorReply("bad-request", "no"), 4, "the server answered with an error: bad-request: no"),
    (
        ErrorReply("unknown-action", "x"),
        4,
        "the server answered with an error: unknown-action: x (check the action's name)",
    ),
    (OSError(28, "No space left on device"), 1, "the system says: No space left on device; correct that and try again"),
    (
        FileNotFoundError(2, "No such file or directory", "/x"),
        1,
        "/x: No such file or directory; correct that and try again",
    ),
    (
        KeyError("x"),
        1,
        "internal error, KeyError: 'x'; please report it with the output under MULTICONN_TRACEBACK=1",
    ),
]


@pytest.mark.parametrize(("error", "code", "words"), FAILURES, ids=lambda value: type(value).__name__)
def test_each_way_to_fail_is_one_line_and_an_exit_code(
    error: Exception, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert main(REQUEST) == code
    assert capsys.readouterr() == ("", f"app_client.py: {words}\n")


def test_who_looks_for_a_bug_of_ours_is_given_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyError("x"))
    monkeypatch.setenv("MULTICONN_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main(REQUEST)


def test_advice_is_for_codes_that_there_are() -> None:
    assert set(ADVICE) <= set(CODES)


def test_four_words_without_a_command_are_the_tutorial_s_form(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(correct) as server:
        host, _, port = server.target.rpartition(":")
        assert main([host.removeprefix("tcp://"), port, "search", "morpheus"]) == 0
    assert capsys.readouterr().out.startswith("Got result: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_two_functions(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(COMMANDS[name][0], "multiconn.commands")
    assert callable(module.run)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert not ended.value.code
    assert capsys.readouterr().out.startswith(f"usage: app_client.py {name} ")
