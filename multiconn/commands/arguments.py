"""How do the words of a command line become values, or one clear line?

The functions below are for `type=`; what they
raise says what is accepted.

Not here: which options a command has.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

import commandline
from commandline import checked
from eventloop import Address, parse_duration
from eventloop.addresses import ECHO, ECHO_UDP, TCP
from libclient.connect import parse_target
from protocol.limits import parse_count, parse_size

from . import UsageError

__all__ = [
    "CommandParser",
    "add_timeouts",
    "count",
    "duration",
    "echo_target",
    "plain_number",
    "positive_duration",
    "size",
    "target",
]


class CommandParser(commandline.Parser):
    """Of one command; an error is a `UsageError`."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description[0].upper() + description[1:] + ("" if description.endswith(".") else "."),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def refuse(self, sentence: str) -> NoReturn:
        raise UsageError(sentence)


def target(text: str) -> Address:
    return checked(parse_target)(text)


def echo_target(text: str) -> Address:
    return checked(lambda word: parse_target(word, (ECHO, ECHO_UDP, TCP)))(text)


def duration(text: str) -> float:
    """Seconds."""
    return checked(parse_duration)(text)


def positive_duration(text: str) -> float:
    """Seconds, more than 0."""
    seconds = duration(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait: write one above 0, such as 5s")
    return seconds


def count(text: str) -> int:
    """A number from 1."""
    number = checked(parse_count)(text)
    if not number:
        raise argparse.ArgumentTypeError("0 is not a count here: write a number from 1")
    return number


def plain_number(text: str, kilo: float = 1e3) -> float | None:
    """What is written with an optional point, and k or m for thousands or millions (of `kilo`); None if it is none."""
    factor = {"k": kilo, "m": kilo * kilo}.get(text[-1:].lower())
    digits = text[:-1] if factor else text
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit() or len(digits) > 15:
        return None
    return float(digits) * (factor or 1)


def size(text: str) -> int:
    """Bytes."""
    return checked(parse_size)(text)


def add_timeouts(parser: argparse.ArgumentParser) -> None:
    """`--timeout` and `--connect-timeout`."""
    parser.add_argument(
        "--timeout",
        type=duration,
        default=10.0,
        metavar="TIME",
        help="how long to wait for a reply, such as 250ms or 10s; 0 is for ever (default: 10s)",
    )
    parser.add_argument(
        "--connect-timeout",
        type=positive_duration,
        default=5.0,
        metavar="TIME",
        help="how long to wait for a connection (default: 5s)",
    )
