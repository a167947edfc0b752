"""Is the server of another commit that commit's, and nothing else?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.compiling import compiler
from benchmarks.peers import PEERS
from benchmarks.processes import ServerProcess, cores
from benchmarks.revision import NoRevision, copy_of, peer_of

#: Says where it listens as a server does, and which commit it is of.
SERVER = """
import socket, sys, side
with socket.create_server(("127.0.0.1", 0)) as sock:
    print(f"{side.SAYS} Listening on 127.0.0.1:{sock.getsockname()[1]}", file=sys.stderr, flush=True)
    sock.accept()
"""


def git(repository: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", repository, *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = tmp_path / "repository"
    made.mkdir()
    try:
        git(made, "init", "-q")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    (made / "app_server.py").write_text(SERVER)
    for says in ("first", "second"):
        (made / "side.py").write_text(f"SAYS = {says!r}\n")
        git(made, "add", ".")
        git(made, "commit", "-q", "-m", says)
    (made / "side.py").write_text("SAYS = 'not committed'\n")
    return made


@pytest.mark.parametrize(("revision", "says"), [("HEAD", "second"), ("HEAD~1", "first")])
def test_it_runs_that_commits_modules(repository: Path, tmp_path: Path, revision: str, says: str) -> None:
    peer = peer_of(revision, tmp_path / "before", repository)
    with ServerProcess(peer.command_line("127.0.0.1", 0), cores()[0], peer.root) as server:
        assert server.said().split()[0] == says
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "repository"]


def test_the_work_tree_is_copied_with_what_is_not_committed_and_both_are_compiled(
    repository: Path, tmp_path: Path
) -> None:
    ours = copy_of(PEERS["ours"], tmp_path / "ours", repository)
    with ServerProcess(ours.command_line("127.0.0.1", 0), cores()[0], ours.root) as server:
        assert server.said().split()[:2] == ["not", "committed"]
    before = peer_of("HEAD", tmp_path / "before", repository)
    for root in (ours.root, before.root):
        assert [*root.glob("__pycache__/side.*.pyc")]
    assert not (repository / "__pycache__").exists()


def test_a_commit_that_there_is_not_is_refused_with_its_name(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(NoRevision, match=r"no such commit \(nothing\^\{commit\}\)"):
        peer_of("nothing", tmp_path / "before", repository)


def test_the_command_says_so_and_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    if compiler() is None:
        pytest.skip("there is no C compiler")
    assert main(["--against", "no-such-commit"]) == 2
    assert capsys.readouterr().err.startswith("benchmarks: ")
