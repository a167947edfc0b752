"""How do the words of a command line become values, or one sentence that names the option as typed?

Shared by the parsers of all programs: the parser itself, the functions for `type=`, and `--version`.
The error of a function for `type=` says what it accepts.

Not here: which options a command has.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from eventloop import parse_duration
from protocol.limits import parse_count, parse_size

from . import UsageError

__all__ = [
    "Parser",
    "VersionAction",
    "checked",
    "count",
    "duration",
    "positive_duration",
    "size",
    "version",
]

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]


# --- the parser ------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one sentence, a `UsageError`, without the usage and with the typed
    spelling alone.

    It takes no abbreviations: the next new option could make them ambiguous.
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(allow_abbrev=False, **more)
        self._typed: list[str] | None = None

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self._typed is None:  # else called once more with a part of them
            self._typed = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{as_typed(message, self._typed or [])}; see {self.prog} --help")


def as_typed(message: str, words: Sequence[str]) -> str:
    """argparse's complaint, beginning with the option as it stands in the command line, or with an argument's name."""
    found = re.match(r"argument ([^:]+): ", message)
    if found is None:
        return message
    names = found[1].split("/")
    typed = [name for word in words for name in names if _is(word, name)]
    return f"{typed[-1] if typed else names[0]}: {message[found.end() :]}"


def _is(word: str, option: str) -> bool:
    """Is `word` this option, perhaps with its value behind it (`--name=value`, `-n1`)?"""
    if option.startswith("--"):
        return word.partition("=")[0] == option
    return option.startswith("-") and word.startswith(option) and not word.startswith("--")


# --- one word ---------------------------------------------------------------------------------------


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """`parse` for an argparse `type`: the user reads the words of its `ValueError`."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


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


def size(text: str) -> int:
    """Bytes."""
    return checked(parse_size)(text)


# --- --version -----------------------------------------------------------------------------------


class VersionAction(argparse.Action):
    """Like argparse's own, but looks the version up only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        parser._print_message(f"{parser.prog} {version()}\n", sys.stdout)
        parser.exit()


def version() -> str:
    """The version of the checkout we run from, else of the installation."""
    try:
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        found = re.search(r'^name = "multiconn"\nversion = "(.+)"$', project, re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return f"{found[1]} (a checkout)"
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("multiconn")
    except PackageNotFoundError:
        return "of unknown version"
