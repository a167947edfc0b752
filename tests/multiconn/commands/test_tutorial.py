"""The tutorial's form: what is sent, and in whose words is it told? (The transcripts: tests/test_app_client.py.)"""

from __future__ import annotations

import json

import pytest

from multiconn.commands import UsageError
from multiconn.commands.tutorial import CONTENT_TYPE, run, tutorial_request
from tests.support.scripted import ScriptedServer, complaining, raw_after, unused_port
from tests.support.wire import KEEP, message


def test_search_is_json_and_anything_else_is_binary_one_behind_the_other() -> None:
    request = tutorial_request("search", "é")
    assert (request.content_type, json.loads(bytes(request.content))) == (
        "text/json",
        {"action": "search", "value": "é"},
    )
    request = tutorial_request("double", "é\udcff")
    assert (request.content_type, bytes(request.content)) == (CONTENT_TYPE, b"double\xc3\xa9\xff")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (message(b'{"result": "found"}', **KEEP), "Got result: found\n"),
        (message(b'{"other": 1}', **KEEP), "Got result: None\n"),
        (message(b"[1]", **KEEP), "Got response: [1]\n"),
        (message(b"\x00\x01", "binary/x", **KEEP), "Got response: b'\\x00\\x01'\n"),
    ],
)
def test_an_answer_is_told_in_the_tutorial_s_words(reply: bytes, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(raw_after(0, reply)) as server:
        assert run("[127.0.0.1]", server.target.rpartition(":")[2], "search", "x") == 0
    assert capsys.readouterr() == (said, "")


def test_an_error_is_told_like_an_answer_and_by_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(complaining) as server:
        assert run("127.0.0.1", server.target.rpartition(":")[2], "search", "x") == 4
    assert capsys.readouterr() == ("Got result: Error: no\n", "")


@pytest.mark.parametrize(("host", "port"), [("", "1"), ("127.0.0.1", "0"), ("127.0.0.1", "http"), ("h", "65536")])
def test_what_is_no_host_and_port_is_refused_before_anything_is_sent(host: str, port: str) -> None:
    with pytest.raises(UsageError, match="HOST PORT ACTION VALUE"):
        run(host, port, "search", "x")


def test_nobody_there_is_asked_once_and_not_again(capsys: pytest.CaptureFixture[str]) -> None:
    from libclient import Refused

    with pytest.raises(Refused, match="nothing listens"):
        run("127.0.0.1", str(unused_port()), "search", "x")
    assert capsys.readouterr() == ("", "")
