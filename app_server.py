#!/usr/bin/env python3
"""The message server's command: `python3 app_server.py [HOST] [PORT] [options]`.

Thin on purpose: the command in `multiconn.commands.server`, serving in `libserver.server`.
"""

from __future__ import annotations

import sys

from multiconn.commands import stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server and return its exit code; `argv` defaults to the command line's arguments."""
    if (sys.argv[1:] if argv is None else list(argv)) in (["-h"], ["--help"]):
        from multiconn.commands import server_help  # and nothing else, which would take ten times as long

        return stdio.run("app_server.py", server_help.print_help)

    import signal

    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # first of all: a server survives them, whatever it is doing
    signal.signal(signal.SIGTERM, stdio.interrupt)

    def command() -> int:
        from multiconn.commands import server  # here, so that Ctrl-C during the import is an exit code too

        return server.main(argv)

    return stdio.run("app_server.py", command)


if __name__ == "__main__":
    sys.exit(main())
