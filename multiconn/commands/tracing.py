"""How does a command of the client write a trace?

`app_client.py` hands in what starts a recorder, since the library knows nothing of `study`. A
command adds the options with `add_arguments`, and gives what `recording` yields to its `Client` or
`Shared`:

    with recording(args) as instruments:
        loop = EventLoop(instruments.selector(None))
        client = Client(target, loop=loop, observer=instruments.observer, tap=instruments.tap)

Without `--trace` they do nothing, and nothing is observed.

Not here: what is recorded (`study.recorder`), the format (docs/trace-format.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from selectors import BaseSelector
from typing import Any, NamedTuple, Protocol

from protocol import Limits
from protocol.states import Observer

from . import UsageError
from .arguments import count, size
from .output import remark

__all__ = ["Instruments", "Record", "Recorder", "add_arguments", "recording"]


class Recorder(Protocol):
    """What writes a trace."""

    def observer(self) -> Observer | None: ...

    def tap(self, message: Any, sock: Any) -> Any: ...

    def selector(self, inner: BaseSelector | None = None) -> BaseSelector: ...

    def open(self) -> None: ...

    def discard(self) -> None: ...

    def close(self) -> None: ...


#: Starts a recorder: path, vantage point, and options.
Record = Callable[..., Recorder]


class Instruments(NamedTuple):
    """What a `Client` or `Shared` takes, and what stands between a loop and its selector.

    `observer` and `tap` are None when nothing is recorded, and `selector` gives back what it got.
    """

    selector: Callable[[BaseSelector | None], BaseSelector | None] = lambda inner: inner
    observer: Callable[[], Observer | None] | None = None
    tap: Callable[[Any, Any], Any] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("study")
    group.add_argument(
        "--trace",
        metavar="FILE",
        help="write every step of the state machines to this new file; takes ten times the processor time and more "
        "(see docs/trace-format.md)",
    )
    group.add_argument("--trace-sample", metavar="N", type=count, default=1, help="of every N-th connection (1)")
    group.add_argument(
        "--trace-bytes",
        metavar="SIZE",
        type=size,
        default=4096,
        help="at most so many bytes of one system call (4k)",
    )


@contextmanager
def recording(args: argparse.Namespace) -> Iterator[Instruments]:
    """Raises `UsageError` if the file can't be made. If the command is refused before it connects, none is left."""
    record: Record | None = getattr(args, "record", None)
    if args.trace is None or record is None:
        yield Instruments()
        return
    limits = Limits()
    try:
        recorder = record(
            args.trace,
            "client",
            sample=args.trace_sample,
            max_bytes=args.trace_bytes,
            failed=lambda error: remark(f"the trace ends here, the connections go on: {error}"),
            max_header=limits.max_header,
            max_content=limits.max_content,
        )
        recorder.open()
    except OSError as error:
        raise UsageError(f"--trace {args.trace}: {error.strerror}") from None
    try:
        yield Instruments(recorder.selector, recorder.observer, recorder.tap)
    except BaseException:
        recorder.discard()
        raise
    finally:
        recorder.close()
