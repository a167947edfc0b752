"""Is what names a server read, or refused in one sentence, and so every other option?"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from eventloop import Address
from multiconn.commands import UsageError
from multiconn.commands.client_options import CommandParser, add_timeouts, echo_target, target


@pytest.mark.parametrize(
    ("read", "text", "address"),
    [
        (target, "127.0.0.1:1", "tcp://127.0.0.1:1"),
        (target, "unix:/s", "unix:/s"),
        (echo_target, "echo://h:1", "echo://h:1"),
        (echo_target, "echo+udp://h:1", "echo+udp://h:1"),
    ],
)
def test_a_word_is_an_address(read: Callable[[str], Address], text: str, address: str) -> None:
    assert str(read(text)) == address


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (target, "127.0.0.1", "HOST:PORT"),
        (target, "127.0.0.1:0", "port 0 can't be connected to; write the port that the server printed"),
        (target, "echo://h:1", "echo:// is not accepted here"),
        (echo_target, "unix:/s", "unix:// is not accepted here"),
    ],
)
def test_or_a_sentence_says_what_is_accepted(read: Callable[[str], Address], text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        read(text)
    assert words in str(refused.value)


def test_a_parser_refuses_in_one_sentence_and_abbreviates_nothing() -> None:
    parser = CommandParser("app_client.py x", "do it")
    add_timeouts(parser)
    assert parser.description == "Do it."
    with pytest.raises(UsageError) as refused:
        parser.parse_args(["--time", "1s"])
    assert str(refused.value) == "unrecognized arguments: --time 1s; see app_client.py x --help"
    with pytest.raises(UsageError, match=r"^--timeout: 'x' is not a time"):
        parser.parse_args(["--timeout", "x"])


def test_a_reply_is_waited_for_ten_seconds_and_a_connection_for_five() -> None:
    parser = CommandParser("x", "x.")
    add_timeouts(parser)
    assert vars(parser.parse_args([])) == {"timeout": 10.0, "connect_timeout": 5.0}
    assert vars(parser.parse_args(["--timeout", "0"])) == {"timeout": 0.0, "connect_timeout": 5.0}
