"""Does each kind of word become a value, or one sentence that says what is accepted?"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from multiconn.commands import UsageError
from multiconn.commands.arguments import (
    CommandParser,
    add_timeouts,
    count,
    duration,
    echo_target,
    plain_number,
    positive_duration,
    size,
    target,
)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (target, "127.0.0.1:1", "tcp://127.0.0.1:1"),
        (target, "unix:/s", "unix:/s"),
        (echo_target, "echo://h:1", "echo://h:1"),
        (echo_target, "echo+udp://h:1", "echo+udp://h:1"),
        (duration, "250ms", "0.25"),
        (duration, "0", "0.0"),
        (positive_duration, "2m", "120.0"),
        (count, "1", "1"),
        (size, "2k", "2048"),
        (plain_number, "1.5k", "1500.0"),
        (plain_number, "2M", "2000000.0"),
        (plain_number, "x", "None"),
    ],
)
def test_a_word_becomes_a_value(read: Callable[[str], Any], text: str, value: str) -> None:
    assert str(read(text)) == value


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (target, "127.0.0.1", "HOST:PORT"),
        (target, "127.0.0.1:0", "port 0 can't be connected to; write the port that the server printed"),
        (target, "echo://h:1", "echo:// is not accepted here"),
        (echo_target, "unix:/s", "unix:// is not accepted here"),
        (duration, "soon", "is not a time"),
        (positive_duration, "0", "is no time to wait: write one above 0, such as 5s"),
        (count, "0", "0 is not a count here: write a number from 1"),
        (count, "1k", "is not a count"),
        (size, "big", "is not a size"),
    ],
)
def test_or_a_sentence_that_says_what_is_accepted(read: Callable[[str], Any], text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        read(text)
    assert words in str(refused.value)


def test_plain_numbers_may_count_in_1024() -> None:
    assert plain_number("2k", 1024) == 2048


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
