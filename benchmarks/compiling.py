"""Where do the C programs come from?

The generator and the C server are compiled when they are first needed, by the system's compiler,
into a cache outside the source tree (`$XDG_CACHE_HOME`, or `~/.cache`, or a temporary directory
where neither can be written to). The file's name holds a hash of source, headers of ours, compiler
and flags, so that what is edited is compiled anew and nothing stale is ever run.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["FANOUT_DRIVER", "GENERATOR", "SERVER", "CannotCompile", "compiled", "compiler"]

HERE = Path(__file__).parent
GENERATOR = HERE / "generator.c"
SERVER = HERE / "peers" / "server.c"
FANOUT_DRIVER = HERE / "fanout" / "driver.c"

FLAGS = ["-O2", "-std=gnu11", "-Wall"]
SECONDS = 120


class CannotCompile(Exception):
    """The text says what is missing or what the compiler said."""


def compiler() -> str | None:
    """The compiler's path: `$CC`, or what the system calls cc, gcc or clang."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        if path:
            return path
    return None


def compiled(source: Path) -> Path:
    """The program made from `source`. Raises `CannotCompile`."""
    path = compiler()
    if path is None:
        raise CannotCompile("there is no C compiler (cc, gcc or clang); install one, or set CC")
    parts = [*_texts(source), path.encode(), shlex.join(FLAGS).encode()]
    name = hashlib.sha256(b"\0".join(parts)).hexdigest()
    program = _cache() / f"{source.stem}-{name[:16]}"
    if program.exists():
        return program
    # Under another name first: two runs may compile at once, and half a program must not be run.
    descriptor, unfinished = tempfile.mkstemp(dir=program.parent, prefix=program.name)
    os.close(descriptor)
    command = [path, *FLAGS, "-o", unfinished, str(source)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            raise CannotCompile(f"{path} refused {source.name}: {done.stderr.strip()[:500]}")
        os.chmod(unfinished, 0o755)
        os.replace(unfinished, program)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return program


def _texts(source: Path) -> list[bytes]:
    """A source, and what it includes of ours: those names stand in quotes. (None of those includes another.)"""
    text = source.read_bytes()
    names = re.findall(rb'^#include "(.+)"', text, re.MULTILINE)
    return [text, *((source.parent / os.fsdecode(name)).read_bytes() for name in names)]


_own_directory: Path | None = None


def _cache() -> Path:
    global _own_directory
    if _own_directory is None:
        wanted = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "multiconn-benchmarks"
        try:
            wanted.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=wanted):
                pass
        except OSError:
            wanted = Path(tempfile.mkdtemp(prefix="multiconn-benchmarks-"))
        _own_directory = wanted
    return _own_directory
