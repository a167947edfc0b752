#!/usr/bin/env python3
"""The client's command line: `python3 app_client.py --help`.

Thin: everything is in `multiconn.commands.client`.
"""

from __future__ import annotations

import sys

from multiconn.commands import stdio

TYPE_CHECKING = False
if TYPE_CHECKING:  # at run time each would cost a part of what a single request may
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the command line's arguments."""

    def command() -> int:
        from multiconn.commands import client  # here, so that Ctrl-C during the import is an exit code too

        return client.main(argv)

    return stdio.run("app_client.py", command)


if __name__ == "__main__":
    sys.exit(main())
