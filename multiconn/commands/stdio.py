"""How does a command read and write its standard streams?

    sys.exit(stdio.run("study", main))

The parent chooses a command's descriptors 0, 1 and 2, and each choice is common: a pipe that an event
loop has made non-blocking, a reader that has seen enough, a full disk, a closed stream. `run` makes all
of them harmless, once for every command: it puts its own streams in the place of `sys.stdin`,
`sys.stdout` and `sys.stderr`.

Rules:

* It writes all output and reads all input: where a descriptor would block, the stream waits. It keeps
  the descriptor's mode, since other processes share it. Python's own streams lose the rest, or raise
  in the middle of it.
* A failed write to standard output is one sentence on standard error and exit code 2. A reader that
  has gone ends the command silently with 141, as SIGPIPE ends any other in the pipe.
* A failed write to standard error changes nothing.
* It opens a closed descriptor on /dev/null before any other file can take its number: a socket
  numbered 2 would get our remarks. (sudo and sshd do the same.) A closed standard output is an error
  at the first write to it.
* It leaves streams of others (a test, `redirect_stdout`) alone.

Not here: what a command prints; how it makes foreign text harmless (`protocol.printable`).
It imports only modules that the interpreter has already, and the exit codes: `--help` and a single request wait for it.
"""

from __future__ import annotations

import io
import os
import sys

from . import CANT_WRITE, INTERRUPTED, READER_GONE, SIGNAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["OutputFailed", "ask", "interrupt", "prepare", "run"]


class OutputFailed(Exception):
    """Standard output can't be written. `run` reports it: let it pass."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.reader_gone = isinstance(error, BrokenPipeError)


class _Stream(io.RawIOBase):
    """A descriptor."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)


class _Input(_Stream):
    """An input, read to its end."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while True:
            try:
                return os.readv(self._number, [buffer])
            except BlockingIOError:
                _wait((self._number,), ())


class _Remarks(_Stream):
    """An output that ignores its errors.

    A text stream stands right upon it, with no `BufferedWriter` between: a `BufferedWriter` keeps its bytes
    until `write` returns, and would write them again if a signal's exception comes just then.
    """

    over = False  # nothing more is written: the interpreter's last flush has nothing to say, nor to wait for

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        """All of it."""
        left = memoryview(data)
        while left and not self.over:
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:
                _wait((), (self._number,))
            except OSError as error:
                self.over = True
                self.failed(error)
        return len(memoryview(data))

    def failed(self, error: OSError) -> None:
        """There is no stream to report it on."""


class _Output(_Remarks):
    """An output that raises its errors."""

    failure: OutputFailed | None = None

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except BaseException:  # also a signal's, while no program reads: the rest would wait again
            self.over = True
            raise

    def failed(self, error: OSError) -> None:
        self.failure = OutputFailed(error)
        raise self.failure


def _wait(reading: tuple[int, ...], writing: tuple[int, ...]) -> None:
    """Until there is something to read, or room to write."""
    import select  # hardly ever needed

    select.select(reading, writing, ())


# --- putting them in place ---------------------------------------------------------------------


def prepare() -> None:
    """Make the standard streams ours. Call it before opening anything; twice does no harm."""
    # The mode that fails: what is read from a closed input, or written to a closed output, is an error.
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            _open_nowhere(number, mode)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _writing(_Output(1), sys.__stdout__)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _writing(_Remarks(2), sys.__stderr__, line_buffering=True)
    if sys.stdin is sys.__stdin__ and sys.__stdin__ is not None:
        old = sys.__stdin__
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_Input(0)), old.encoding, old.errors)


def _open_nowhere(number: int, mode: int) -> None:
    """Open /dev/null: the lowest free descriptor is the closed one."""
    try:
        opened = os.open(os.devnull, mode)
    except OSError:
        return  # a root directory without /dev: nothing better can be done
    if opened != number:
        os.close(opened)


def _writing(raw: _Remarks, old: TextIO | None, line_buffering: bool = False) -> io.TextIOWrapper:
    """A text stream over `raw`, as the interpreter's `old` one is; no character is an error in it."""
    if old is not None:
        old.flush()
    return io.TextIOWrapper(
        raw,  # type: ignore[arg-type]  # it needs no more of a buffer than `write`
        "utf-8" if old is None else old.encoding,
        "backslashreplace",
        line_buffering=line_buffering or getattr(old, "line_buffering", False),
        write_through=getattr(old, "write_through", False),
    )


# --- a command ---------------------------------------------------------------------------------


def run(program: str, command: Callable[[], int | None]) -> int:
    """Run `command` with the streams prepared; returns the exit code. `program` begins a sentence about them."""
    code = 0
    try:
        prepare()
        code = _exit_code(command)
        sys.stdout.flush()
    except OutputFailed:
        pass
    except KeyboardInterrupt as stopped:
        if isinstance(output := _output(), _Output):
            output.over = True  # the write may have waited for this very reader
        print(f"{program}: interrupted", file=sys.stderr)
        return SIGNAL + int(stopped.args[0]) if stopped.args else INTERRUPTED
    failure = getattr(_output(), "failure", None)  # even if a caller has caught it
    if failure is None:
        return code
    if failure.reader_gone:
        return READER_GONE
    print(f"{program}: standard output can't be written ({failure}); make room, or send it elsewhere", file=sys.stderr)
    return CANT_WRITE


def interrupt(number: int, frame: object) -> None:
    """A handler for a signal that ends a command as Ctrl-C does, with its own number in the exit code."""
    raise KeyboardInterrupt(number)


def _exit_code(command: Callable[[], int | None]) -> int:
    try:
        return command() or 0
    except SystemExit as done:  # argparse's
        if isinstance(done.code, str):
            print(done.code, file=sys.stderr)
            return 1
        return done.code or 0


def _output() -> object:
    """The `_Output` under `sys.stdout`, unless the program runs with another stream."""
    return getattr(sys.stdout, "buffer", None)


def ask(prompt: str) -> str:
    """The next line of standard input, a terminal's. Raises `EOFError` at its end.

    With the output on the terminal too, the line is edited by readline if there is such a thing. Else
    the prompt goes to standard error, so that it does not get into a file that takes the answers;
    readline, when it is imported, may write there as well.
    """
    if sys.stdout.isatty():
        try:
            import readline  # noqa: F401  (by being there)
        except ImportError:
            pass
        return input(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")
