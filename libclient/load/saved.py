"""How is the page of a saved run made once more?

    app_client.py report DIR

DIR is what `load -o DIR` wrote. Of a run that was killed, which has no page, the time series is enough.

Not here: what the page has (`load.page`), comparing two runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..arguments import program
from .signals import Interrupts, Quit

__all__ = ["add_arguments", "draw", "run"]

USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `report` on its (sub)parser."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="a run's directory, as load -o DIR wrote it")


def draw(directory: Path, interrupts: Interrupts) -> None:
    """The page of a run that has just ended: last, since that of hours takes seconds, and it can be made again.

    Ctrl-C has nothing to stop gently any more and ends it at once. Raises `Quit`.
    """
    from .page import write_html

    interrupts.stop = None
    again = f"'{program()} report {directory}'"
    try:
        write_html(directory)
    except (OSError, ValueError) as error:
        words = f"the page could not be written ({error}); {again} tries again"
        print(f"app_client.py load: {words}", file=sys.stderr, flush=True)
    except Quit:
        print(f"app_client.py load: all is written but the page; {again} makes it", file=sys.stderr, flush=True)
        raise


def run(args: argparse.Namespace) -> int:
    """Write DIR/report.html and print its path."""
    from .page import write_html

    try:
        print(write_html(args.directory))
    except OSError as error:
        return _refuse(f"{error.filename or args.directory}: {error.strerror}; name a directory that load -o wrote")
    except (ValueError, KeyError, TypeError) as error:
        words = str(error) if type(error) is ValueError else f"{args.directory} has a summary that is not whole"
        return _refuse(f"{words}; name a directory that load -o wrote")
    return 0


def _refuse(words: str) -> int:
    print(f"app_client.py report: {words}", file=sys.stderr)
    return USAGE
