"""What may stand behind an option of `python -m benchmarks`, and how is the file written that it names?

Checked before anything is measured: a run of an hour that can't be written, or that measures
nothing, is refused in its first second. Each is an argparse `type`, and raises
`ArgumentTypeError` with a sentence that says what is accepted.
"""

from __future__ import annotations

import math
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

from protocol.files import SHARED, replace

__all__ = ["at_least", "counts", "duration", "output", "pause", "save"]


#: The most of anything: no machine has more, no user waits longer, and every clock and call takes so much.
MOST = 10**9


def at_least(least: int) -> Callable[[str], int]:
    """An integer from `least`."""

    def integer(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= MOST:
            raise ArgumentTypeError(f"{text[:40]!r} is not an integer from {least} to {MOST:.0e}")
        return number

    return integer


def counts(least: int) -> Callable[[str], list[int]]:
    """Integers from `least` with commas between them, in rising order."""
    integer = at_least(least)
    return lambda text: sorted(integer(word) for word in text.split(","))


def duration(text: str) -> float:
    """Seconds (or what comes in a second), more than none."""
    seconds = pause(text)
    if not seconds:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return seconds


def pause(text: str) -> float:
    """Seconds, or none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MOST:
        raise ArgumentTypeError(f"{text[:40]!r} is not a number from 0 to {MOST:.0e}")
    return seconds


def output(text: str) -> Path:
    """A file that can be written when the run has ended."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{text!r} is a directory: name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ArgumentTypeError(f"{text!r} can't be written: is there such a directory, and is it yours?")
    return path


def save(path: Path, text: str) -> int:
    """Write a file that `output` named; returns an exit code. What was measured is printed, and not lost with it."""
    try:
        replace(path, [text.encode()], SHARED)
    except OSError as error:
        print(f"benchmarks: {path} can't be written ({error.strerror}); keep what is printed", file=sys.stderr)
        return 1
    return 0
