"""`multiconn.commands.shell`: what a line means. (How a session goes: `tests/test_app_client.py`.)"""

from __future__ import annotations

import json

import pytest

from multiconn.commands import UsageError
from multiconn.commands.shell import parse_line


def meaning(line: str, **more: str) -> object:
    request = parse_line(line, **more)
    assert request is not None
    assert request.content_type == "text/json"
    return json.loads(bytes(request.content))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hello", {"action": "confirm", "value": "hello"}),
        ("  hello   there \n", {"action": "confirm", "value": "hello   there"}),
        ("search morpheus\n", {"action": "search", "value": "morpheus"}),
        ("echo  two words", {"action": "echo", "value": "two words"}),
        ("confirm search", {"action": "confirm", "value": "search"}),
        ("searching for it", {"action": "confirm", "value": "searching for it"}),
        ("search", {"action": "search"}),
        ("/greet Ann", {"action": "greet", "value": "Ann"}),
        ("/greet", {"action": "greet"}),
        ("/", {"action": "confirm", "value": "/"}),
        ('/json {"action": "greet", "name": "Ann"}', {"action": "greet", "name": "Ann"}),
        ("/json 1", 1),
        ("🐶", {"action": "confirm", "value": "🐶"}),
        ("\udcff", {"action": "confirm", "value": "\udcff"}),
    ],
)
def test_a_line_is_a_request(line: str, expected: object) -> None:
    assert meaning(line) == expected


def test_plain_lines_may_have_another_action() -> None:
    assert meaning("hello", default_action="echo") == {"action": "echo", "value": "hello"}


@pytest.mark.parametrize("line", ["", "\n", "   \t\r\n"])
def test_an_empty_line_is_none(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("line", ["/json", "/json {", "/json NaN", "/json " + "[" * 100_000])
def test_json_that_is_none_is_not_sent(line: str) -> None:
    with pytest.raises(UsageError, match="not sent"):
        parse_line(line)
