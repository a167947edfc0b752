#!/usr/bin/env python3
"""The message server's command: `python3 app_server.py [HOST] [PORT] [options]`.

Thin on purpose: arguments in `libserver.cli`, serving in `libserver.server`, and what `--trace`
writes in `study.recorder`, which the library knows nothing of.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server and return its exit code; `argv` defaults to the command line's arguments."""
    try:
        from libserver import cli  # here, so that Ctrl-C during the import is an exit code too
        from study import recorder

        return cli.main(argv, recorder.start)
    except KeyboardInterrupt:
        print("app_server.py: interrupted before it began", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
