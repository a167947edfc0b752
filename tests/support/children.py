"""Which processes has this one started, and which of them are not one test's alone?"""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["SHARED", "children"]

#: Started inside of a test by a fixture that lives longer: add the pid.
SHARED: set[int] = set()

#: Python's own helpers, which outlive every test that has made one necessary.
HELPER = b"multiprocessing.resource_tracker"


def children() -> set[int]:
    """Processes that were started here and not waited for; none where the system does not tell (not Linux)."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that thread has just ended
            found |= {int(process) for process in task.read_text().split()}
    return {process for process in found if not _is_helper(process)}


def _is_helper(process: int) -> bool:
    try:
        return HELPER in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return True  # it has just ended
