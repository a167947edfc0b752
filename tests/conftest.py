"""How many workers does `-n auto` start, which tests are slow, which signals are heard, and which fixtures are for all?

Three for two cores: a third of the suite's time is waiting, for a timer or a peer, and one worker's wait is
another's processor.

Slow is what starts many processes, draws pages in a browser, or goes through cases by the hundred: `-m "not slow"` is
the rest, in a minute.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.browser import chromium, tab
from tests.support.children import SHARED, children

__all__ = ["chromium", "tab"]


def _live_on(number: int, frame: object) -> None:
    """A signal that was ignored when the suite was started."""


#: In a script's background, or under nohup, the suite is started with signals ignored, and what is ignored stays so in
#: every process that a test starts: none would end by the signal that it is sent.
#: The suite itself is to live on under nohup: a handler that does nothing is, in what it starts, the default.
HEARD = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: _live_on, signal.SIGTERM: _live_on}
if threading.current_thread() is threading.main_thread():
    for number, handler in HEARD.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)

HERE = Path(__file__).resolve().parent
SLOW = (
    "benchmarks",
    "libserver/test_chat_shared.py",
    "libserver/test_redis_backplane.py",
    "multiconn/loadtest/engine",
    "multiconn/loadtest/output",
    "multiconn/loadtest/process",
    "multiconn/loadtest/test_page_of_load_testing.py",
    "multiconn/commands/test_chat.py",
    "multiconn/commands/test_chat_terminal.py",
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
    "test_scale_out.py",
    "test_stopped.py",
    "test_traces.py",
)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_auto_num_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(autouse=True)
def _end_what_a_failed_test_has_started(request: pytest.FixtureRequest) -> Iterator[None]:
    """A load for an hour that nobody ends any more would take the processor from every test behind it."""
    before = children()
    yield
    if request.node.stash.get(_failed, False):
        for process in children() - before - SHARED:
            with contextlib.suppress(ProcessLookupError):  # whoever has started it has waited for it meanwhile
                os.kill(process, signal.SIGKILL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.relative_to(HERE)
        if any(path.is_relative_to(slow) for slow in SLOW):
            item.add_marker("slow")
