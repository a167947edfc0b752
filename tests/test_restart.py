"""Does a restart of one of two servers on a port lose a request, as their users run them?

`python -m benchmarks restart`, for a few seconds: clients that await each reply, that pipeline, and that connect for
each request; none of them tries anything again that may have been carried out. The long runs are made by hand.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="the servers share a port by SO_REUSEPORT")
def test_no_request_is_lost_while_two_servers_on_one_port_are_restarted_in_turn(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, "-m", "benchmarks", "restart", "--settings", "reuse-port"]
    command += ["--requests", "1500", "--restarts", "4", "--seconds", "40", "--json", str(told)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome,) = json.loads(told.read_text())["outcomes"]
    assert outcome["wrong"] == []
    assert outcome["restarts"] >= 4
    for kind, seen in outcome["clients"].items():
        assert seen["requests"] >= 100, kind
        assert (seen["lost"], seen["twice"]) == ([], 0), kind
        if sys.platform == "linux":  # elsewhere who connects between the last accept and the close is lost
            assert seen["lost_by_the_kernel"] == [], kind
