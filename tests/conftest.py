"""How many workers does `-n auto` start, which tests are slow, and which fixtures are there for all?

Three for two cores: a third of the suite's time is waiting, for a timer or a peer, and one worker's wait is
another's processor.

Slow is what starts many processes, draws pages in a browser, or goes through cases by the hundred: `-m "not slow"` is
the rest, in a minute.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.browser import chromium, tab

__all__ = ["chromium", "tab"]

HERE = Path(__file__).resolve().parent
SLOW = (
    "benchmarks",
    "multiconn/loadtest/engine",
    "multiconn/loadtest/output",
    "multiconn/loadtest/process",
    "multiconn/loadtest/test_page_of_load_testing.py",
    "multiconn/commands/test_load.py",
    "multiconn/commands/test_load_files.py",
    "multiconn/commands/test_load_interleaved.py",
    "multiconn/commands/test_load_out.py",
    "multiconn/commands/test_report.py",
    "multiconn/commands/test_stdio.py",
    "study/test_dissector.py",
    "study/test_tour.py",
    "study/test_view.py",
    "suites",
    "support/test_browser.py",
    "test_app_client.py",
    "test_app_server.py",
    "test_ci.py",
    "test_docs.py",
    "test_end_to_end.py",
    "test_readme.py",
    "test_stopped.py",
    "test_traces.py",
)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_auto_num_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(HERE)
        if any(path.is_relative_to(slow) for slow in SLOW):
            item.add_marker("slow")
