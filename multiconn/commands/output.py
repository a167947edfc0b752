"""How does a command show an answer to a person, or to the next program in a pipe?

Results go to stdout, everything about them to stderr. It prints a text result plain, any other
as JSON on one line. It never throws binary content at a terminal: a line says what it is and how
it begins, and `-o` saves it.

Not here: exit codes, errors (`client`).
"""

from __future__ import annotations

import os
import sys
from typing import Any

from protocol.printable import printable, printable_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libclient.client import Answer

__all__ = ["program", "remark", "save", "show_binary", "show_json", "show_text"]

#: Bytes of a binary reply that are shown: about three lines of a terminal.
SHOWN_BYTES = 200


def program() -> str:
    """The name under which the user runs us."""
    name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else ""
    return name if name.startswith("app") else "app_client.py"


def remark(text: str) -> None:
    """One line on stderr."""
    print(printable(text), file=sys.stderr, flush=True)


def show_text(text: str) -> None:
    """A text, plain; on a terminal its control characters, but for line breaks and tabs, as escapes."""
    if sys.stdout.isatty():
        text = printable(text, keep="\n\t")
    print(text, flush=True)


def show_json(value: Any) -> None:
    """A text plain, anything else as JSON on one line."""
    if isinstance(value, str):
        show_text(value)
    else:
        show_text(printable_json(value))


def show_binary(answer: Answer) -> None:
    """One line: how many bytes of which type, and how they begin."""
    content = bytes(answer.value[:SHOWN_BYTES])
    more = "" if len(answer.value) <= SHOWN_BYTES else " ... (-o PATH saves them all)"
    show_text(printable(f"{len(answer.value)} bytes of {answer.header.content_type}: {content!r}{more}"))


def save(content: bytes | bytearray, path: str) -> None:
    """Write the bytes to a file, or for `-` to stdout as they are. Raises `OSError`."""
    if path != "-":
        from protocol.files import SHARED, replace  # here: most answers are printed

        replace(path, [content], SHARED)  # a copy that was asked for, as any program writes one
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
