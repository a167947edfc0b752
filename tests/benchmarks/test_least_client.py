"""Does the least client ask as the tutorial's does, with its modules and no others?"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from benchmarks import least_client
from tests.support.scripted import Caller, ScriptedServer

PROGRAM = Path(least_client.__file__)


def run(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), "127.0.0.1", str(port)], capture_output=True, text=True, timeout=30, check=False
    )


def test_it_searches_and_says_what_was_found() -> None:
    seen: list[object] = []

    def serve(peer: Caller) -> None:
        seen.append(peer.request())
        peer.reply({"result": "Follow the white rabbit. \N{RABBIT FACE}"}, connection=None)

    with ScriptedServer(serve) as server:
        done = run(server.port)
    assert done.stdout == "Got result: Follow the white rabbit. \N{RABBIT FACE}\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert seen == [{"action": "search", "value": "morpheus"}]


def test_what_fails_is_told_and_ends_with_1() -> None:
    def serve(peer: Caller) -> None:
        peer.request()
        peer.reply({"error": {"code": "no"}}, connection=None)

    with ScriptedServer(serve) as server:
        done = run(server.port)
    assert (done.returncode, done.stdout) == (1, "")
    assert "KeyError: 'result'" in done.stderr


def test_it_imports_what_the_tutorial_s_client_imports() -> None:
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"io", "json", "selectors", "socket", "struct", "sys", "traceback"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
