"""How does a command write a trace?

A command adds the options with `add_trace_options`, and gives what `instruments` yields to its `Client`,
`Shared` or `Server`:

    with recording(args) as seen:
        client = Client(target, selector=seen.selector(None), observer=seen.observer, tap=seen.tap)

Rules:

* Without `--trace` they do nothing, and import no `study`.
* `begin` makes the trace once the command has what it needs: a command that finds its port taken has
  nothing to write. If the command fails before it has a connection, it leaves no trace behind.

Not here: the records (`study.recorder`), the format (docs/look-up/trace-format.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from selectors import BaseSelector
from typing import Any, NamedTuple

from protocol import Limits
from protocol.limits import parse_count
from protocol.states import Observer

from . import UsageError
from .arguments import checked, size
from .output import remark

__all__ = ["CannotTrace", "Instruments", "add_trace_options", "instruments", "recording"]


class CannotTrace(UsageError):
    """The file can't be made."""


class Instruments(NamedTuple):
    """The arguments of a `Client`, `Shared` or `Server`, and a selector for its loop.

    Without a trace `observer` and `tap` are None, and `selector` returns its argument. It records nothing
    before `begin`, which raises `CannotTrace`.
    """

    selector: Callable[[BaseSelector | None], BaseSelector | None] = lambda inner: inner
    observer: Callable[[], Observer | None] | None = None
    tap: Callable[[Any, Any], Any] | None = None
    begin: Callable[[], None] = lambda: None


def add_trace_options(parser: argparse.ArgumentParser) -> None:
    """`--trace`, and how much."""
    group = parser.add_argument_group("study")
    group.add_argument(
        "--trace",
        metavar="FILE",
        help="write every step of the state machines to this new file; takes ten times the processor time and more "
        "(see docs/look-up/trace-format.md)",
    )
    group.add_argument(
        "--trace-sample", metavar="N", type=checked(_sample), default=1, help="trace every N-th connection only (1)"
    )
    group.add_argument(
        "--trace-bytes",
        metavar="SIZE",
        type=size,
        default=4096,
        help="keep at most so many bytes of one system call (4k)",
    )


def _sample(text: str) -> int:
    if not (number := parse_count(text)):
        raise ValueError("every 0th connection is none: write a number from 1, which is all of them")
    return number


@contextmanager
def instruments(
    args: argparse.Namespace, vantage: str, failed: Callable[[Exception], None], **settings: int
) -> Iterator[Instruments]:
    """The instruments of these options. `vantage`, `failed` and `settings` are the recorder's. Raises `CannotTrace`."""
    if args.trace is None:
        yield Instruments()
        return
    from study import recorder  # here, since most commands are not traced

    def begin() -> None:
        try:
            made.open()
        except OSError as error:
            raise _cannot(args, error) from None

    try:
        made = recorder.start(
            args.trace, vantage, sample=args.trace_sample, max_bytes=args.trace_bytes, failed=failed, **settings
        )
    except OSError as error:
        raise _cannot(args, error) from None
    try:
        yield Instruments(made.selector, made.observer, made.tap, begin)
    except BaseException:
        made.discard()
        raise
    finally:
        made.close()


def _cannot(args: argparse.Namespace, error: OSError) -> CannotTrace:
    return CannotTrace(f"--trace {args.trace}: {error.strerror}")


@contextmanager
def recording(args: argparse.Namespace) -> Iterator[Instruments]:
    """The instruments of a client's command, recording from now on. Raises `CannotTrace`."""
    limits = Limits()

    def failed(error: Exception) -> None:
        remark(f"the trace ends here, the connections go on: {error}")

    with instruments(args, "client", failed, max_header=limits.max_header, max_content=limits.max_content) as seen:
        seen.begin()
        yield seen
