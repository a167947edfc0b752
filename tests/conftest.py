"""How many workers does `-n auto` start?

Three for two cores: a third of the suite's time is waiting, for a timer or a peer, and one worker's wait is
another's processor.
"""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_auto_num_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2
