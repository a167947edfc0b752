"""Does docs/do/load-test.md work as written? Its commands, in their order, in one directory.

They are run as they stand but for ports and for how long they take.
"""

import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.test_docs import ROOT, commands, server

PAGE = "docs/do/load-test.md"


def work(directory, arguments):
    done = subprocess.run(
        [sys.executable, str(ROOT / "app_client.py"), *arguments],
        cwd=directory, capture_output=True, text=True, timeout=40,
    )  # fmt: skip
    assert done.returncode == code_of(arguments, done.stdout), f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    if arguments[0] == "load":
        screens = 2 if "--against" in arguments else 1
        for words in ("every reply verified, 0 failed", "errors     none", "; bottleneck: "):
            assert done.stdout.count(words) == screens
        assert done.stdout.count("    service ") == (screens if "-r" in arguments else 0)


def code_of(arguments, said):
    """The exit code that goes with what was printed: on a busy machine a run may be starved, or miss its threshold."""
    if "--against" in arguments or arguments[0] == "compare":
        verdict = said.rpartition("  verdict     ")[2].splitlines()[0]
        if verdict.startswith(("NOT VALID; ", "none: this can't be judged")):  # blocks without a reply are left out
            return 5
        assert verdict.startswith(("B is worse than A: ", "no significant regression")), verdict
        return 99 if verdict.startswith("B is worse") else 0
    if "--threshold" not in arguments:
        return 0
    assert said.count("- threshold ") == arguments.count("--threshold")
    return 5 if "NOT VALID" in said else 99 if "FAILED" in said else 0


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
