"""A number that a person types is a value or a sentence, however long it is: in every option of every command."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from multiconn.commands.client import COMMANDS
from multiconn.commands.client_options import CommandParser
from multiconn.commands.server_options import build_parser
from multiconn.loadtest.judge.thresholds import parse
from multiconn.loadtest.quantity import plain_number

#: Beyond a float's range, and beyond what Python turns into an integer at all.
LONG = ("9" * 400, "9" * 5000)


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield "server", build_parser()
    for name, (module, words) in COMMANDS.items():
        parser = CommandParser(name, words)
        import_module(module, "multiconn.commands").add_arguments(parser)
        yield name, parser


TYPED = [
    pytest.param(action.type, id=f"{command} {'/'.join(action.option_strings) or action.dest}")
    for command, parser in parsers()
    for action in parser._actions
    if action.type is not None and getattr(action.type, "__name__", "") != "Path"
]


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from numbers_in(one)


@pytest.mark.parametrize("read", TYPED)
def test_an_option_refuses_a_number_that_has_no_end_in_a_sentence(read: Any) -> None:
    for text in (number + unit for number in LONG for unit in ("", "s", "h", "ms", "k", "m", "g", "/s", "%")):
        try:
            value = read(text)
        except argparse.ArgumentTypeError as refused:
            said = str(refused)
        else:
            said = ""
            assert not isinstance(value, (int, float)), "such a number is none that anybody can mean"
            assert all(math.isfinite(number) for number in numbers_in(value))
        assert "string conversion" not in said, "Python's own words"


@pytest.mark.parametrize("text", LONG, ids=["400 digits", "5000 digits"])
@pytest.mark.parametrize(
    "shape", ["response.p99<{}ms", "response.p{}<1s", "error_rate<{}", "error_rate<{}%", "ok_per_s>{}", "failed<{}k"]
)
def test_so_does_a_threshold(shape: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as refused:
        parse(shape.format(text))
    assert "string conversion" not in str(refused.value)


def test_the_longest_time_and_the_largest_numbers_are_taken() -> None:
    values = vars(build_parser().parse_args(["--idle-timeout", "87600h", "--max-connections", "999999999"]))
    assert values["idle_timeout"] == 87600 * 3600
    assert values["max_connections"] == 999_999_999
    assert plain_number("999999999999999") == 999_999_999_999_999
