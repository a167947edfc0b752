"""What does `app_client.py` print without a command: `--help`, `--version`, or what to write?

Not here: the commands (`client`), their own help (each command's `add_arguments`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn

from .arguments import VersionAction
from .client_options import CommandParser
from .output import program

__all__ = ["no_command"]

EXAMPLES = """\
examples:
  {prog} 127.0.0.1 65432 search morpheus             as in the tutorial
  {prog} request 127.0.0.1:65432 search morpheus
  {prog} request unix:/tmp/app.sock echo --json-value '[1, 2]'
  {prog} request 127.0.0.1:65432 echo --file photo.jpg -o copy.jpg
  {prog} shell                                       127.0.0.1:65432 is the default
  {prog} chat 127.0.0.1:65432 --name ann
  {prog} echo 127.0.0.1:65432 -c 10                  a plain echo server, such as multiconn-server.py
  {prog} load                                        starts the bundled server and loads it

'{prog} COMMAND --help' tells more. Exit codes: 0 done, 1 internal error, 2 usage,
3 not connected, 4 an error reply, 130 interrupted, 141 the output's reader has gone.
"""


def no_command(arguments: Sequence[str], commands: Mapping[str, tuple[str, str]]) -> NoReturn:
    """--help and --version (`SystemExit`), or `UsageError`. `commands`: to each its module and a line for the help."""
    parser = _TopParser(commands)
    if not arguments:
        parser.error(f"write a command ({', '.join(commands)}), or HOST PORT ACTION VALUE as in the tutorial")
    parser.parse_known_args(arguments)  # exits for --help and --version
    first = arguments[0]
    if first.startswith("-"):
        parser.error(f"unknown option {first!r}: options come after the command")
    parser.error(
        f"{first!r} is no command (there are {', '.join(commands)}), and the tutorial's form has exactly four "
        "arguments: HOST PORT ACTION VALUE"
    )


class _TopParser(CommandParser):
    """`app_client.py --help`."""

    def __init__(self, commands: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(program(), "Talk to a message server: one request, many, or a load test.")
        self.usage = f"{program()} COMMAND ...\n       {program()} HOST PORT ACTION VALUE"
        self.epilog = EXAMPLES.format(prog=program())
        self.add_argument("--version", action=VersionAction)
        group = self.add_argument_group("commands")
        for name, (_, words) in commands.items():
            group.add_argument(name, nargs="?", help=words, default=argparse.SUPPRESS)
