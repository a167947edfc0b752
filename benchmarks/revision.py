"""How does another commit of this project become a peer?

`--against REV` unpacks what git has of REV into a directory of its own and starts the `app_server.py` there, on its
own modules. Both commits are then visited in turn, by one generator in one run: on a machine with neighbours only
such a ratio says what a change has cost. Uncommitted changes are part of `ours`.

Both are copies, and compiled before they are started, so that they differ in nothing but their code: modules that come
from a .pyc file lie elsewhere in memory than those that are compiled at the start. How much one commit seems to
differ from itself all the same, `--against HEAD` shows.

Not here: the order of visits (`benchmarks.rounds`), the ratios (`benchmarks.results`).
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from benchmarks.peers import OURS, Peer
from benchmarks.processes import ROOT
from benchmarks.results import BEFORE

__all__ = ["NoRevision", "copy_of", "peer_of"]


class NoRevision(Exception):
    """There is no such commit, or no git to ask; the text says which."""


def peer_of(revision: str, into: Path, repository: Path = ROOT) -> Peer:
    """This project's server as it was at `revision`, unpacked into `into`. Raises `NoRevision`."""
    commit = _git(repository, "rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}").decode().strip()
    packed = into.with_name(into.name + ".tar")
    _git(repository, "archive", "--format=tar", f"--output={packed}", commit)
    into.mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", into], check=True)
    packed.unlink()
    _compile(into)
    return Peer(BEFORE, f"this project's app_server.py at {commit}", OURS, root=into)


def copy_of(ours: Peer, into: Path, repository: Path = ROOT) -> Peer:
    """This project's server as it stands in the work tree, copied into `into`. Raises `NoRevision`."""
    names = _git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    for name in filter(None, map(os.fsdecode, names)):
        source, target = repository / name, into / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    _compile(into)
    return replace(ours, root=into)


def _compile(directory: Path) -> None:
    compileall.compile_dir(directory, quiet=2, workers=1)


def _git(repository: Path, *arguments: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", repository, *arguments], check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise NoRevision("--against needs git, which is not installed") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip() or "no such commit"
        raise NoRevision(f"git {' '.join(arguments[:1])}: {said} ({arguments[-1]})") from None
