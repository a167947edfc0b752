"""What is imported before a command can begin: a request from the command line waits for every module of it.

Modules are counted, not milliseconds, which a busy machine makes: `python -m benchmarks startup` has those.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scripted import ScriptedServer, correct

ROOT = Path(__file__).resolve().parents[1]
OURS = ("libclient", "libserver", "protocol", "eventloop", "study", "multiconn")

#: What a single request has no use for, and what it is for.
HEAVY = {
    "argparse": "options: the tutorial's form has none",
    "asyncio": "nobody's",
    "dataclasses": "imports inspect, and writes each class's methods at every start",
    "encodings.idna": "names: an IP address is none",
    "importlib.metadata": "--version",
    "inspect": "nobody's",
    "multiconn.loadtest": "load tests",
    "multiconn.commands.tracing": "--trace",
    "logging": "an observer that fails",
    "pkgutil": "other encodings than UTF-8",
    "protocol.batch": "the server's",
    "eventloop.listener": "the server's",
    "random": "a second try",
    "signal": "the server's",
    "study": "--trace",
    "subprocess": "the load tester's",
    "threading": "the server's",
    "traceback": "logging's",
}


def imported(program: str, *words: str) -> list[str]:
    """The modules that are there when a command has ended, but for those that Python brings along.

    Taken from `sys.modules`, since `-X importtime` tells nothing of what `import_module` imports; without
    site-packages, whose own are not ours to count.
    """
    script = f"""
import sys
begun = set(sys.modules)
import {program}
code = {program}.main({list(words)})
print(*(name for name in sys.modules if name not in begun), file=sys.stderr)
sys.exit(code)"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


def ours(modules: list[str]) -> list[str]:
    return [name for name in modules if name.partition(".")[0] in OURS]


def test_a_request_in_the_tutorial_s_form_imports_what_it_needs_and_no_more() -> None:
    with ScriptedServer(correct) as server:
        host, _, port = server.target.rpartition(":")
        modules = imported("app_client", host.removeprefix("tcp://"), port, "search", "morpheus")
    assert "libclient.client" in modules
    assert [f"{name} ({HEAVY[name]})" for name in modules if name in HEAVY] == []
    assert len(ours(modules)) <= 38
    assert len(modules) <= 95


def test_the_server_s_help_is_printed_before_the_server_is_imported() -> None:
    modules = imported("app_server", "--help")
    assert ours(modules) == [
        "multiconn",
        "multiconn.commands",
        "multiconn.commands.stdio",
        "multiconn.commands.server_help",
    ]
    assert len(modules) <= 20


@pytest.mark.parametrize(
    ("program", "words", "needed", "others"),
    [
        ("app_server", ["--version"], "libserver.server", {"libclient", "study"}),
        ("app_client", ["request", "--help"], "libclient.client", {"libserver", "study"}),
        ("app_client", ["shell", "--help"], "libclient.client", {"libserver", "study"}),
    ],
)
def test_a_program_imports_nothing_of_the_other_one_and_nothing_of_study(
    program: str, words: list[str], needed: str, others: set[str]
) -> None:
    modules = imported(program, *words)
    assert needed in modules
    assert [name for name in modules if name.partition(".")[0] in others] == []
