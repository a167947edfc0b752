"""Is the naive server a good one on a good day?"""

from __future__ import annotations

import ast
import selectors
import socket
import sys
from pathlib import Path

import pytest

from suites.conformance.case import OK
from suites.detection import naive, naive_client
from suites.detection.detect import NAIVE, look
from tests.support.wire import ask, take_reply


def test_the_naive_server_passes_cases_that_no_star_marks() -> None:
    """It is naive, not dead: otherwise failing would prove nothing."""
    results = look(NAIVE, ["FR1", "FR2.2", "EN12.3", "EN14", "HV14", "PL8"])
    assert {id: result.verdict for id, result in results.items()} == dict.fromkeys(results, OK)


def test_it_answers_a_request_that_comes_in_pieces_and_closes() -> None:
    ours, theirs = socket.socketpair()
    request = ask("search", "ring")
    with ours, theirs:
        conversation = naive.Conversation(theirs)
        for at in range(0, len(request), 7):
            ours.send(request[at : at + 7])
            assert not naive.step(conversation, selectors.EVENT_READ)
        assert naive.step(conversation, selectors.EVENT_WRITE), "all is said"
        reply = take_reply(bytearray(ours.recv(65536)))
    assert reply is not None
    assert reply.result == "In the caves beneath the Misty Mountains. \N{RING}"


def test_what_it_did_not_think_of_ends_the_connection_and_not_the_server(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"\0\1{")
        assert naive.step(naive.Conversation(theirs), selectors.EVENT_READ)
    assert "naive: a connection failed: JSONDecodeError" in capsys.readouterr().err


def test_it_imports_nothing_of_ours() -> None:
    for module in (naive, naive_client):
        tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
        imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert all(str(name).partition(".")[0] in sys.stdlib_module_names for name in imported)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
