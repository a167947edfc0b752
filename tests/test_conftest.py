"""Does the suite run alike wherever it is started?"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
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


ABANDONED = """
import pathlib, subprocess, sys

import pytest


from tests.support.children import SHARED

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(scope="module")
def start():
    running = []

    def started():
        if not running:
            running.append(subprocess.Popen(SLEEP))
            SHARED.add(running[0].pid)
        return running[0]

    yield started
    running[0].kill()
    running[0].wait()


@pytest.mark.parametrize("ends", [False, True])
def test_that_starts_a_process(ends, start):
    assert start().poll() is None
    process = subprocess.Popen(SLEEP)
    pathlib.Path(__file__).with_name(f"started-{ends}").write_text(str(process.pid))
    assert ends
    process.kill()
    process.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which processes one has started")
def test_what_a_failed_test_has_started_is_ended_and_no_more(tmp_path: Path) -> None:
    shutil.copy(HERE / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_abandoned.py").write_text(ABANDONED)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, tmp_path], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    process = int((tmp_path / "started-False").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


LIVES_ON = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
import tests.conftest
os.kill(os.getpid(), signal.SIGHUP)
os.execv(sys.executable, [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGHUP)"])
"""


def test_under_nohup_the_suite_lives_on_and_what_it_starts_does_not() -> None:
    done = subprocess.run([sys.executable, "-c", LIVES_ON], cwd=ROOT, capture_output=True, timeout=50, check=False)
    assert done.returncode == -signal.SIGHUP, done.stderr
    assert done.stderr == b""
