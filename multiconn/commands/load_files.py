"""What does a load test say at its end if its files, its page or its server failed?

Not here: what is in the files (`output.files`), the page of a saved run (`report`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from multiconn.loadtest.output.files import Writer
from multiconn.loadtest.process.child import ChildServer
from multiconn.loadtest.process.signals import Interrupts, Quit

from .output import program, remark

__all__ = ["finish", "say_if_died"]


def say_if_died(child: ChildServer) -> None:
    """Before the report, which would otherwise put it down to the wrong one."""
    if child.died:
        print(f"app_client.py load: {child.died}", file=sys.stderr, flush=True)


def finish(writer: Writer, summary: dict[str, Any], interrupts: Interrupts) -> bool:
    """Write the summary and the page; returns whether all are there, and says so if not."""
    writer.complete(summary)
    if writer.trouble:
        remark(f"app_client.py load: {writer.trouble}")
        return False
    return _draw(writer.directory, interrupts)


def _draw(directory: Path, interrupts: Interrupts) -> bool:
    """The page of a run that has just ended: last, since that of hours takes seconds, and it can be made again.

    Returns whether it was written. Ctrl-C has nothing to stop gently any more and ends it at once. Raises `Quit`.
    """
    from multiconn.loadtest.output.page import write_html

    interrupts.stop_by(None)
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
