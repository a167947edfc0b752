"""What does `app_server.py --help` print?

A file that docs/generate.py writes from the parser; a test fails when it is stale. So the command prints
it before it imports the server and the parser, and it looks the same under every version of Python.
"""

from __future__ import annotations

import os

__all__ = ["help_text", "print_help"]


def help_text() -> str:
    """The text, to its last line feed. Raises `OSError` where the installation is not whole."""
    with open(os.path.join(os.path.dirname(__file__), "server_help.txt"), encoding="utf-8") as file:
        return file.read()


def print_help() -> None:
    """`app_server.py --help`."""
    print(help_text(), end="")
