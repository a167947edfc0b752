#!/usr/bin/env python3
"""The client's command line: `python3 app_client.py --help`.

Thin: everything is in `multiconn.commands.client`, but for what `--trace` writes: `study.recorder`, which the
library knows nothing of.
"""

from __future__ import annotations

import sys

from multiconn.commands import stdio

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time each would cost a part of what a single request may
    from collections.abc import Sequence
    from typing import Any


def record(path: str, vantage: str, **options: Any) -> Any:
    """What `--trace` asks for."""
    from study import recorder  # only where it is asked for

    return recorder.start(path, vantage, **options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the command line's arguments."""

    def command() -> int:
        from multiconn.commands import client  # here, so that Ctrl-C during the import is an exit code too

        return client.main(argv, record)

    return stdio.run("app_client.py", command)


if __name__ == "__main__":
    sys.exit(main())
