"""Does docs/load-testing.md work as written? Its commands, in their order, in one directory.

They are run as they stand but for ports and for how long they take.
"""

import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.test_docs import ROOT, commands, server

PAGE = "docs/load-testing.md"


def work(directory, arguments):
    done = subprocess.run(
        [sys.executable, str(ROOT / "app_client.py"), *arguments],
        cwd=directory, capture_output=True, text=True, timeout=40,
    )  # fmt: skip
    # On a busy machine a run may be starved, or miss its threshold; both are answers.
    assert done.returncode in (0, 5, 99), f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(120)
def test_the_page_s_commands_work_in_their_order(tmp_path):
    shown = [shown.command for shown in commands() if shown.page == PAGE and shown.command.startswith("python3 app_")]
    servers = [command for command in shown if "app_server" in command]
    assert len(servers) == 2
    with server(tmp_path, ["127.0.0.1", "0"], 1) as a, server(tmp_path, ["127.0.0.1", "0"], 1) as b:
        ports = {"65432": a.port("tcp://127.0.0.1"), "65433": b.port("tcp://127.0.0.1")}
        loads, later = [], []
        for command in shown:
            if command in servers:
                continue
            for there, here in ports.items():
                command = command.replace(there, here)
            arguments = shlex.split(command)[2:]
            if arguments == ["load"]:
                arguments += ["-n", "500"]
            if "-d" in arguments:
                arguments[arguments.index("-d") + 1] = "320ms"
                arguments += ["--warmup", "50ms"]
            if "--against" in arguments:
                arguments += ["--block", "40ms"]
            (loads if arguments[0] == "load" else later).append(arguments)
        assert len(loads) >= 5
        assert [arguments[0] for arguments in later] == ["compare"]
        with ThreadPoolExecutor() as pool:  # side by side, to be done sooner: this is not about their figures
            list(pool.map(partial(work, tmp_path), loads))
        for arguments in later:
            work(tmp_path, arguments)
    for file in ("a/summary.json", "b/summary.json", "comparison.json"):
        assert (tmp_path / "versions" / file).exists()
