"""`compare`: is run B worse than run A?

    app_client.py compare A B           two directories that `load -o DIR` wrote

Exit codes: 0 no significant regression, 99 one, 5 not to be judged (not valid, too few blocks), 2 no runs there.

Not here: the statistics (`judge.bootstrap`), what is said (`output.comparison`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from multiconn.loadtest.judge.compare import Comparison
from multiconn.loadtest.output.comparison import compare_saved, comparison_object, comparison_text
from protocol.printable import printable_json

from . import DONE, NOT_VALID, THRESHOLD_FAILED, UsageError
from .output import remark

__all__ = ["add_arguments", "exit_code", "run"]


def exit_code(comparison: Comparison, *, force: bool = False) -> int:
    """What the comparison amounts to; `force` judges runs that are not valid, too."""
    if not comparison.changes or (comparison.doubts and not force):
        return NOT_VALID
    return THRESHOLD_FAILED if comparison.regressions else DONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `compare`."""
    parser.epilog = (
        "Exit codes: 0 no significant regression, 99 one, 5 not to be judged (not valid, too few blocks),\n"
        "2 usage, or no runs there."
    )
    parser.add_argument("a", metavar="A", help="directory of the run to compare with (load -o)")
    parser.add_argument("b", metavar="B", help="directory of the run to judge")
    parser.add_argument("--force", action="store_true", help="judge runs that are not valid, too")
    parser.add_argument("--json", action="store_true", help="the comparison as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do what the options say; the exit code."""
    a, b = Path(args.a), Path(args.b)
    if a.resolve() == b.resolve():
        raise UsageError(f"{a} and {b} are the same run: name two")
    try:
        comparison = compare_saved(a, b, lambda words: remark(f"app_client.py compare: {words}"))
    except (KeyError, TypeError) as error:
        raise UsageError(f"one of them is no whole run ({error}); name directories that load -o wrote") from None
    except (ValueError, OSError) as error:
        raise UsageError(f"{error}; name directories that load -o wrote") from None
    if args.json:
        print(printable_json(comparison_object(comparison)), flush=True)
    else:
        print(comparison_text(comparison), flush=True)
    code = exit_code(comparison, force=args.force)
    if code == NOT_VALID and comparison.changes:
        print("app_client.py compare: not judged; --force does it all the same", file=sys.stderr, flush=True)
    return code
