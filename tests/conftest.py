"""How many workers does `-n auto` start, which tests are slow, which signals are heard, and which fixtures are for all?

Three for two cores: a third of the suite's time is waiting, for a timer or a peer, and one worker's wait is
another's processor.

Slow is what starts many processes, draws pages in a browser, or goes through cases by the hundred: `-m "not slow"` is
the rest, in a minute.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.support.browser import chromium, tab

__all__ = ["chromium", "tab"]

#: In a script's background, or under nohup, the suite is started with signals ignored, and what is ignored stays so in
#: every process that a test starts: none would end by the signal that it is sent.
HEARD = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL, signal.SIGTERM: signal.SIG_DFL}
if threading.current_thread() is threading.main_thread():
    for number, handler in HEARD.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)

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
