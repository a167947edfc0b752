"""Which line of this project took a step?

A trace says `package/module.py:LINE`; `source_line` gives the text of that line, and the function it
stands in. It reads the checkout (or the installation) that it belongs to itself.

Rules:

* It reads only this project's packages, whatever a trace says: the trace may come from a stranger.
* A missing line is None, and no guess.

Not here: how the recorder finds the line (`study.recorder`).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["source_line"]

_ROOT = Path(__file__).resolve().parent.parent
#: Where a `source` of the form module's package / module's file may lie.
_PACKAGES = {Path(name).name: _ROOT / name for name in ("protocol", "eventloop", "libserver", "libclient", "study")}
_PACKAGES["load"] = _ROOT / "libclient" / "load"
_SOURCE = re.compile(r"([a-z_]+)/([a-z_]+\.py):([0-9]{1,6})")


def source_line(source: str, packages: dict[str, Path] = _PACKAGES) -> tuple[str, str] | None:
    """The line `package/module.py:LINE` and the function it is in; None if it is none of ours, or not to be found."""
    found = _SOURCE.fullmatch(source)
    if found is None or found[1] not in packages:
        return None
    lines = _lines(packages[found[1]] / found[2])
    number = int(found[3])
    if not 0 < number <= len(lines):
        return None
    line = lines[number - 1]
    indent = len(line) - len(line.lstrip())
    for above in reversed(lines[: number - 1]):
        inside = re.match(r"( *)def (\w+)", above)
        if inside and len(inside[1]) < indent:
            return line.strip(), inside[2]
    return line.strip(), ""


@cache
def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
