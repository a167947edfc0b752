#!/usr/bin/env python3
"""The client's command line: `python3 app_client.py --help`.

Thin: everything is in `libclient.cli`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the command line's arguments."""
    try:
        from libclient import cli  # here, so that Ctrl-C during the import is an exit code too

        return cli.main(argv)
    except KeyboardInterrupt:
        print("app_client.py: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
