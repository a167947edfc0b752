"""Does the server do as the model says, in how many random examples?

    python -m suites.model [--examples N] [--steps N]

Each run plays other examples. The exit code is 0 if the server always did as the model says, 1 if it
did not, with the shortest steps that show it, 2 for usage or without hypothesis, 130 after Ctrl-C.

Not here: the model (`model`), what the peers do (`machine`).
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence

from multiconn.commands import stdio

__all__ = ["main"]

USAGE, INTERRUPTED = 2, 130


def count(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m suites.model", description="The server beside a small model.")
    parser.add_argument("--examples", type=count, default=600, metavar="N", help="how many are played (default: 600)")
    parser.add_argument("--steps", type=count, default=20, metavar="N", help="of at most so many steps (default: 20)")
    options = parser.parse_args(arguments)
    try:
        from .machine import Machine, play, profile
    except ImportError as error:
        if error.name != "hypothesis":
            raise
        print("model: hypothesis is not installed: pip install hypothesis", file=sys.stderr)
        return USAGE
    began = time.monotonic()

    def so_far() -> str:
        return f"{time.monotonic() - began:.0f} s"

    try:
        play(Machine, profile(options.examples, options.steps, print_blob=False))
    except KeyboardInterrupt:
        print(f"interrupted after {so_far()}; no difference until then")
        return INTERRUPTED
    except Exception as error:
        traceback.print_exception(error)
        print(f"the server did otherwise than the model says, after {so_far()}")
        return 1
    print(f"{options.examples} examples of up to {options.steps} steps in {so_far()}: no difference")
    return 0


if __name__ == "__main__":
    sys.exit(stdio.run("model", main))
