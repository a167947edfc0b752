"""Which command does the user ask for, and how does it end?

    app_client.py HOST PORT ACTION VALUE        the tutorial's own form
    app_client.py request | shell | chat | echo | load | report ...

Rules:

* Exit codes: 0 done, 1 internal error, 2 usage or an output that can't be written, 3 not connected (or
  the connection was lost), 4 the answer is an error or wrong, 130 interrupted, 141 the output's
  reader has gone. `load` has more of its own.
* An error is one line on stderr that says what happened and what to do; MULTICONN_TRACEBACK=1 in the
  environment adds a traceback, to find a bug of ours.
* A command is two functions: `add_arguments(parser)` and `run(args) -> int`. Only the command in use imports its
  module and what that needs: the tutorial's form must start as fast as the tutorial's.

Not here: what the commands do, the help without a command (`client_help`), the standard streams (`stdio`).
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

from libclient.errors import ConnectionFailed, ErrorReply

from . import ERROR_REPLY, INTERNAL_ERROR, NOT_CONNECTED, USAGE, UsageError, stdio
from .output import program, remark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["main"]

#: command -> its module, and a line for the help
COMMANDS = {
    "request": (".request", "send one request and print the answer"),
    "shell": (".shell", "one connection, many inputs, a confirmation for each"),
    "chat": (".chat", "talk with others in a chat room"),
    "echo": (".echo", "many simultaneous connections to a raw echo server"),
    "load": (".load", "put a server under load, verify every reply, report"),
    "report": (".report", "make the page of a saved load test once more"),
    "compare": (".compare", "tell two saved load tests apart: by how much, and is it chance"),
}

#: What to do about an error reply, where the code alone says it.
ADVICE = {
    "unknown-action": "check the action's name",
    "content-too-large": "send less, or raise the server's --max-content (for JSON --max-json)",
    "overloaded": "try again later, or raise the server's --max-connections",
    "shutting-down": "try again once it has restarted",
    "deadline-exceeded": "allow a longer --deadline",
    "timeout": "the request arrived too slowly; try again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Called by `stdio.run`, which catches what this raises:

    `SystemExit` (--help), `KeyboardInterrupt`, and an output that can't be written.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except stdio.OutputFailed:
        raise
    except Exception as error:
        if os.environ.get("MULTICONN_TRACEBACK"):
            raise
        return _failed(error)


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if len(arguments) == 4 and not first.startswith("-") and first not in COMMANDS:
        return int(_imported(".tutorial").run(*arguments))  # without argparse, and what else the commands need
    if first in COMMANDS:
        from .client_options import CommandParser

        module = _imported(COMMANDS[first][0])
        parser = CommandParser(f"{program()} {first}", COMMANDS[first][1])
        module.add_arguments(parser)
        return int(module.run(parser.parse_intermixed_args(arguments[1:])))
    from .client_help import no_command

    return no_command(arguments, COMMANDS)


def _imported(name: str) -> Any:
    """A command's module, imported without the collector: to search for garbage again and again slows the start."""
    gc.disable()
    try:
        return import_module(name, __package__)
    finally:
        gc.freeze()
        gc.enable()


# --- how it ended ----------------------------------------------------------------------


def _failed(error: Exception) -> int:
    """One line about it, and the exit code."""
    if isinstance(error, UsageError):
        code, words = USAGE, str(error)
    elif isinstance(error, ErrorReply):
        advice = ADVICE.get(error.code)  # of ours, the others say it themselves
        code = ERROR_REPLY
        words = f"the server answered with an error: {error}" + (f" ({advice})" if advice else "")
    elif isinstance(error, ConnectionFailed):
        code, words = NOT_CONNECTED, str(error)
    elif isinstance(error, OSError):
        code, words = INTERNAL_ERROR, f"{_what_failed(error)}; correct that and try again"
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
