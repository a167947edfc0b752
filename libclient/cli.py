"""Which command was asked for, and how does it end?

    app_client.py HOST PORT ACTION VALUE        the tutorial's own form
    app_client.py request | shell | echo | load | report ...

Rules:

* Exit codes: 0 done, 1 internal error, 2 usage or an output that can't be written, 3 not connected (or
  the connection was lost), 4 the answer is an error or wrong, 130 interrupted, 141 nobody reads the
  output. `load` has more of its own.
* Whatever goes wrong is one line on stderr that says what happened and what to do; a traceback
  only with MULTICONN_TRACEBACK=1 in the environment, for whoever looks for a bug of ours.
* A command is two functions: `add_arguments(parser)` and `run(args) -> int`. Its module is
  imported when the command is asked for.

Not here: what the commands do, the standard streams (`stdio`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import stdio

from . import version
from .arguments import CommandParser, UsageError, program
from .errors import ConnectionFailed, ErrorReply
from .output import remark
from .tracing import Record

__all__ = ["main"]

INTERNAL_ERROR, USAGE, NOT_CONNECTED, ERROR_REPLY = 1, 2, 3, 4

#: command -> its module, and a line for the help
COMMANDS = {
    "request": (".ask", "send one request and print the answer"),
    "shell": (".shell", "one connection, many inputs, a confirmation for each"),
    "echo": (".echo", "many simultaneous connections to a raw echo server"),
    "load": (".load.cli", "put a server under load, verify every reply, report"),
    "report": (".load.saved", "make the page of a saved load test once more"),
    "compare": (".load.compare", "tell two saved load tests apart: by how much, and is it chance"),
}

EXAMPLES = """\
examples:
  {prog} 127.0.0.1 65432 search morpheus             as in the tutorial
  {prog} request 127.0.0.1:65432 search morpheus
  {prog} request unix:/tmp/app.sock echo --json-value '[1, 2]'
  {prog} request 127.0.0.1:65432 echo --file photo.jpg -o copy.jpg
  {prog} shell                                       127.0.0.1:65432 is the default
  {prog} echo 127.0.0.1:65432 -c 10                  a plain echo server, such as multiconn-server.py
  {prog} load                                        starts the bundled server and loads it

'{prog} COMMAND --help' tells more. Exit codes: 0 done, 1 internal error, 2 usage,
3 not connected, 4 an error reply, 130 interrupted, 141 nobody reads the output.
"""

#: What to do about an error reply, where the code alone tells.
ADVICE = {
    "unknown-action": "check the action's name",
    "content-too-large": "send less, or raise the server's --max-content (for JSON --max-json)",
    "overloaded": "try again later, or raise the server's --max-connections",
    "shutting-down": "try again once it has restarted",
    "handler-failed": "the server's log has the details",
    "deadline-exceeded": "allow a longer --deadline",
    "timeout": "the request arrived too slowly; try again",
}


def main(argv: Sequence[str] | None = None, record: Record | None = None) -> int:
    """Run one command and return its exit code. To be called by `stdio.run`, which catches what this raises:

    `SystemExit` (--help), `KeyboardInterrupt`, and an output that can't be written. `record` starts what
    `--trace` asks for.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments, record)
    except stdio.OutputFailed:
        raise
    except Exception as error:
        if os.environ.get("MULTICONN_TRACEBACK"):
            raise
        return _failed(error)


def _run(arguments: list[str], record: Record | None) -> int:
    first = arguments[0] if arguments else ""
    if first in COMMANDS:
        module = import_module(COMMANDS[first][0], __package__)
        parser = CommandParser(f"{program()} {first}", COMMANDS[first][1])
        module.add_arguments(parser)
        code: int = module.run(parser.parse_intermixed_args(arguments[1:], argparse.Namespace(record=record)))
        return code
    if len(arguments) == 4 and not first.startswith("-"):
        from . import tutorial

        return tutorial.run(*arguments)
    return _no_command(arguments)


def _no_command(arguments: list[str]) -> int:
    """--help, --version, or neither."""
    parser = _TopParser()
    if not arguments:
        parser.error(f"write a command ({', '.join(COMMANDS)}), or HOST PORT ACTION VALUE as in the tutorial")
    parser.parse_known_args(arguments)  # exits for --help and --version
    first = arguments[0]
    if first.startswith("-"):
        parser.error(f"unknown option {first!r}: options come after the command")
    parser.error(
        f"{first!r} is no command (there are {', '.join(COMMANDS)}), and the tutorial's form has exactly four "
        "arguments: HOST PORT ACTION VALUE"
    )


class _TopParser(CommandParser):
    """`app_client.py --help`."""

    def __init__(self) -> None:
        super().__init__(program(), "Talk to a message server: one request, many, or a load test.")
        self.usage = f"{program()} COMMAND ...\n       {program()} HOST PORT ACTION VALUE"
        self.epilog = EXAMPLES.format(prog=program())
        self.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
        commands = self.add_argument_group("commands")
        for name, (_, words) in COMMANDS.items():
            commands.add_argument(name, nargs="?", help=words, default=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {program()} --help")


class _Version(argparse.Action):
    """Like argparse's own, which would have us look the version up at each start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(program(), version.installed() or "(a clone, not installed)")
        parser.exit()


# --- how it ended ----------------------------------------------------------------------


def _failed(error: Exception) -> int:
    """One line about it, and the exit code."""
    if isinstance(error, UsageError):
        code, words = USAGE, str(error)
    elif isinstance(error, ErrorReply):
        advice = ADVICE.get(error.code)
        code = ERROR_REPLY
        words = f"the server answered with an error: {error}" + (f" ({advice})" if advice else "")
    elif isinstance(error, ConnectionFailed):
        code, words = NOT_CONNECTED, str(error)
    elif isinstance(error, OSError):
        code, words = INTERNAL_ERROR, f"{_what_failed(error)}; mend that and try again"
    else:
        code = INTERNAL_ERROR
        words = (
            f"internal error, {type(error).__name__}: {error}; please report it with the output under "
            "MULTICONN_TRACEBACK=1"
        )
    remark(f"{program()}: {words}")
    return code


def _what_failed(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else f"the system says: {error.strerror or error}"
