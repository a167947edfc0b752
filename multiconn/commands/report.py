"""How does a user make the page of a saved run again?

    app_client.py report DIR

DIR is what `load -o DIR` wrote. For a killed run, which has no page, the time series is enough, and so it is
beside a summary that a full disk cut; a sentence says what is missing.

Not here: what the page has (`output.page`), comparing two runs (`compare`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import DONE, USAGE
from .output import remark

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `report` on its (sub)parser."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="a run's directory, as load -o DIR wrote it")


def run(args: argparse.Namespace) -> int:
    """Write DIR/report.html and print its path."""
    from multiconn.loadtest.output.page import PAGE, write_html

    try:
        print(write_html(args.directory, lambda words: remark(f"app_client.py report: {words}")))
    except OSError as error:
        unwritten = error.filename == str(args.directory / PAGE)
        what = "make room for the page, or copy the run elsewhere" if unwritten else _NAME_ONE
        return _refuse(f"{error.filename or args.directory}: {error.strerror}; {what}")
    except (ValueError, KeyError, TypeError) as error:
        words = str(error) if type(error) is ValueError else f"{args.directory} has a summary that is not whole"
        return _refuse(f"{words}; {_NAME_ONE}")
    return DONE


_NAME_ONE = "name a directory that load -o wrote"


def _refuse(words: str) -> int:
    remark(f"app_client.py report: {words}")
    return USAGE
