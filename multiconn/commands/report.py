"""How is the page of a saved run made once more?

    app_client.py report DIR

DIR is what `load -o DIR` wrote. Of a run that was killed, which has no page, the time series is enough, and so it is
beside a summary that a full disk cut; what was left out is said.

Not here: what the page has (`output.page`), comparing two runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from multiconn.loadtest.output.files import Writer
from multiconn.loadtest.process.signals import Interrupts, Quit

from .output import program, remark

__all__ = ["add_arguments", "draw", "finish", "run"]

USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `report` on its (sub)parser."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="a run's directory, as load -o DIR wrote it")


def finish(writer: Writer, told: dict[str, Any], interrupts: Interrupts) -> bool:
    """The summary and the page; returns whether everything is there, and says so if not."""
    writer.complete(told)
    if writer.trouble:
        remark(f"app_client.py load: {writer.trouble}")
        return False
    return draw(writer.directory, interrupts)


def draw(directory: Path, interrupts: Interrupts) -> bool:
    """The page of a run that has just ended: last, since that of hours takes seconds, and it can be made again.

    Returns whether it was written. Ctrl-C has nothing to stop gently any more and ends it at once. Raises `Quit`.
    """
    from multiconn.loadtest.output.page import write_html

    interrupts.stop = None
    again = f"'{program()} report {directory}'"
    try:
        write_html(directory)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        remark(f"app_client.py load: the page could not be written ({why}); {again} tries again")
        return False
    except Quit:
        remark(f"app_client.py load: all is written but the page; {again} makes it")
        raise
    return True


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
    return 0


_NAME_ONE = "name a directory that load -o wrote"


def _refuse(words: str) -> int:
    remark(f"app_client.py report: {words}")
    return USAGE
