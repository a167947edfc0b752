"""Do the special actions answer as the loads expect, whichever commit's server has them?"""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks.loads import LOADS
from benchmarks.peers import PEERS
from benchmarks.processes import APPLICATIONS, ServerProcess, cores
from tests.support.peer import dialled

MODULE = APPLICATIONS / "special_actions.py"


def test_the_loads_for_them_are_answered_rightly() -> None:
    ours = PEERS["ours"]
    options = ours.options_for(LOADS["64x16-session"])
    with ServerProcess(ours.command_line("127.0.0.1", 0, *options), cores()[0]) as server:
        for name in ("64x16-session", "64x1-blocking"):
            with dialled(server.port) as client:
                for variant in LOADS[name].variants()[:10]:
                    assert client.ask(variant.request).content == variant.content, name


def test_another_commit_s_server_finds_it_by_a_name_that_no_package_has() -> None:
    assert not (APPLICATIONS / "__init__.py").exists(), "it is a directory on the path, not a package"
    imported = {node.module for node in ast.walk(ast.parse(MODULE.read_text())) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "typing", "libserver"}, "what every commit's server has"
    assert not (Path(APPLICATIONS).parents[1] / "special_actions.py").exists()
