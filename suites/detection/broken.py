"""Which server has exactly this mistake?

    python -m suites.detection.broken NAME HOST PORT [server options]

runs our own server with one mistake made in it (`registry`), with options under which the mistake
shows in seconds. `healthy` is the same without any. `--list` names them all.

Not here: the mistakes (`framing`, `replies`, `flow`, `topics`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from multiconn.commands import server

from . import flow, framing, replies, topics
from .registry import BREAKS

__all__ = ["BREAKS", "HEALTHY", "main"]

HEALTHY = "healthy"

#: Whose import registers the mistakes.
REGISTERED = (framing, replies, flow, topics)


def main(argv: Sequence[str]) -> int:
    """Make the mistake, then be the server; returns its exit code, or 2 for a name that is none."""
    if list(argv[:1]) == ["--list"]:
        for name, variant in BREAKS.items():
            print(f"{name:28} {variant.what}")
        return 0
    if not argv or argv[0] not in (HEALTHY, *BREAKS):
        print("broken: write NAME HOST PORT, with a NAME from --list, or healthy", file=sys.stderr)
        return 2
    name, *arguments = argv
    options: tuple[str, ...] = ()
    if name != HEALTHY:
        BREAKS[name].apply()
        options = BREAKS[name].options
    return server.main([*arguments, *options])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
