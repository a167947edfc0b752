"""Is it told where it was measured, without naming the machine or its owner?"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from benchmarks import environment
from benchmarks.environment import LIBRARIES


def test_versions_processor_and_cores_are_told_ready_for_json() -> None:
    found = environment.environment()
    assert json.loads(json.dumps(found)) == found
    assert found["python"] == sys.version.split()[0]
    assert found["cores"] == os.cpu_count()
    assert found["cores_allowed"] == len(os.sched_getaffinity(0))
    assert found["processor"]


def test_neither_the_machine_nor_its_owner_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", sys.executable)  # a compiler in somebody's home
    text = json.dumps(environment.environment())
    assert os.path.dirname(sys.executable) not in text
    for name in (socket.gethostname(), Path.home().name):
        assert name in ("root", "localhost") or len(name) < 4 or name not in text


def test_a_library_that_is_not_there_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LIBRARIES", ("pytest", "no-such-library"))
    assert environment.environment()["libraries"] == {"pytest": pytest.__version__}
    assert "uvloop" in LIBRARIES


def test_a_system_without_cpuinfo_still_has_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", gone)
    assert environment._processor()
