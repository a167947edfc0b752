"""What is in a `--data` file?

Read once, whole: it may be a pipe. What it says is `engine.workload`'s.

Not here: what each line asks for, and what must come back.
"""

from __future__ import annotations

from typing import BinaryIO

from ..config import Data

__all__ = ["MAX_DATA", "BadData", "load_data"]

#: Bytes of a data file that are kept prepared: they take about three times as much memory.
MAX_DATA = 64 * 1024 * 1024


class BadData(Exception):
    """The data file can't be used; the sentence says where and why."""


def load_data(name: str, standard_input: BinaryIO | None) -> Data:
    """Read a `--data` file, whatever it is: a file, a FIFO, `/dev/stdin`; `-` is `standard_input`. Raises `BadData`."""
    try:
        if name == "-":
            if standard_input is None:
                raise BadData("--data -: standard input is closed; name a file, or send one in")
            content = standard_input.read(MAX_DATA + 1)
        else:
            with open(name, "rb") as file:
                content = file.read(MAX_DATA + 1)
    except OSError as error:
        raise BadData(f"{name} can't be read ({error.strerror}); check the name") from error
    if len(content) > MAX_DATA:
        raise BadData(f"{name} is larger than {MAX_DATA >> 20} MB, which is what is kept ready to send; use a part")
    return Data(name, content)
