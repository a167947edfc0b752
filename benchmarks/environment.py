"""Where was it measured?

Figures without their machine mean little. Nothing here names the machine or its owner.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.compiling import compiler
from benchmarks.processes import ROOT

__all__ = ["environment"]

LIBRARIES = ("uvloop", "gevent", "trio", "twisted")


def environment() -> dict[str, object]:
    """Commit, date, versions, processor and cores, ready for JSON."""
    return {
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": sys.version.split()[0],
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "kernel": platform.release().partition("-")[0],
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "compiler": Path(compiler() or "none").name,
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "load_average": round(os.getloadavg()[0], 2),
    }


def _commit() -> str | None:
    """What is measured; with `+` if files were changed since. None without git or outside a clone."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
