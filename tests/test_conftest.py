"""Does the suite run alike wherever it is started?"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_no_signal_that_tests_send_is_ignored(number: signal.Signals) -> None:
    assert signal.getsignal(number) is not signal.SIG_IGN


IGNORING = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sys.argv[1:]])
"""


def test_started_in_the_background_of_a_script_the_suite_hears_signals() -> None:
    """There they are ignored from the start (POSIX, "asynchronous lists"); under nohup SIGHUP is."""
    which = f"{__file__}::{test_no_signal_that_tests_send_is_ignored.__name__}"
    done = subprocess.run(
        [sys.executable, "-c", IGNORING, which], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
