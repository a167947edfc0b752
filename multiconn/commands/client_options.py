"""What do the client's commands have in common in their command lines?

A parser, the name of a server, and how long to wait for it.

Not here: which other options each has, and the kinds of values (`arguments`).
"""

from __future__ import annotations

import argparse

from eventloop import Address
from eventloop.addresses import ECHO, ECHO_UDP, TCP
from libclient.connect import parse_target

from .arguments import Parser, checked, duration, positive_duration

__all__ = ["CommandParser", "add_connect_timeout", "add_timeouts", "echo_target", "target"]


class CommandParser(Parser):
    """Of one command of the client."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description[0].upper() + description[1:] + ("" if description.endswith(".") else "."),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def target(text: str) -> Address:
    return checked(parse_target)(text)


def echo_target(text: str) -> Address:
    return checked(lambda word: parse_target(word, (ECHO, ECHO_UDP, TCP)))(text)


def add_timeouts(parser: argparse.ArgumentParser) -> None:
    """`--timeout` and `--connect-timeout`."""
    parser.add_argument(
        "--timeout",
        type=duration,
        default=10.0,
        metavar="TIME",
        help="how long to wait for a reply, such as 250ms or 10s; 0 is for ever (default: 10s)",
    )
    add_connect_timeout(parser)


def add_connect_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--connect-timeout",
        type=positive_duration,
        default=5.0,
        metavar="TIME",
        help="how long to wait for a connection (default: 5s)",
    )
