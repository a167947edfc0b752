"""What is a conformance case, and how does it say what it found?

A case is a function that plays one peer, with data about it: an id, a title, the mechanism it
exercises, the section of the wire contract it holds a target to, and what is expected.

    @case("PL1", "two requests in one segment", mechanism="pipelining", section="Order and pipelining",
          expected="two replies, in order", star=True)
    def two_in_one_segment(run: ServerRun) -> None:
        peer = run.connect()
        peer.send(search("ring", connection="keep-alive") + search("morpheus"))
        peer.result(RING)

    @each({"HV1.1": "byteorder", "HV1.2": "content-type"}, "a header without {0}", ...)
    def missing(run: ServerRun, field: str) -> None: ...

Rules:

* A function that returns has found it OK. It raises `Failed(expected, came)`, or `Informational(came)`
  for what the contract leaves open or what can't be seen with the options given. What is served,
  but not to the letter, it notes with `run.deviates(expected, came)` and goes on: NON-STRICT.
* A case of a part that a target need not have names it: `part=TOPICS`. Where the target has none of that
  part the case is not run, and the verdict is UNIMPLEMENTED. A target has all of a part, or nothing.
* Cases run side by side in threads, so a case touches nothing but its `run`. One that measures the
  whole process says `phase=ALONE`, one that judges the whole run `phase=LAST`. `slow` ones, which
  wait for timers, begin first; of the `heavy` ones, which move megabytes, few run at once.
* Whatever a case opens it registers with `run.closing(...)`, or gets from a method that does.

How the client role plugs in: a role is a *target*, an object with

    name: str                        for the report
    jobs: int                        cases to run side by side at most
    begin(case) -> Run               what the case's function is called with; a subclass of `Run`
    after(run) -> None               raises Failed if the case left the target damaged
    close() -> None

`targets.py` makes the server's (`ServerTarget`, `ServerRun`). The client's is made by
`client_target.open_target(command, options)`, with `options` the `Options` below: the module is
imported if it is there. Modules named `server_*.py` and `client_*.py` are imported to register
their cases; those of a client module are registered with `role=CLIENT`.

Not here: bytes (`wire`), a connection (`peer`), who runs the cases (`runner`), how it is told (`report`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

__all__ = [
    "ALONE",
    "CASES",
    "CLIENT",
    "FAILED",
    "INFORMATIONAL",
    "LAST",
    "NON_STRICT",
    "OK",
    "SERVER",
    "SOON",
    "TOGETHER",
    "TOPICS",
    "UNIMPLEMENTED",
    "VERDICTS",
    "Case",
    "Failed",
    "Informational",
    "Options",
    "Result",
    "Run",
    "Target",
    "Unimplemented",
    "case",
    "each",
]

#: Autobahn's verdicts, the worst last.
OK, UNIMPLEMENTED, INFORMATIONAL, NON_STRICT, FAILED = VERDICTS = (
    "OK",
    "UNIMPLEMENTED",
    "INFORMATIONAL",
    "NON-STRICT",
    "FAILED",
)

SERVER, CLIENT = "server", "client"

#: The parts of the contract that a target need not have.
TOPICS = "topics"

#: With others; with nothing else running; after everything else, alone.
TOGETHER, ALONE, LAST = "together", "alone", "last"

#: Seconds in which something that waits for nothing must have happened, on a busy machine.
SOON = 5.0

#: Lines of what a peer did and saw that a result keeps.
KEPT_LINES = 24

F = TypeVar("F", bound=Callable[..., None])


class Failed(Exception):
    """The target breaks the contract: what was expected, and what came."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected = expected
        self.came = came


class Informational(Exception):
    """Nothing to judge: the contract leaves it open, or this run can't show it. Says why, or what was seen."""


class Unimplemented(Exception):
    """The case is about a part that this target does not have, and need not have."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user told us of the target. Sizes are bytes, times seconds."""

    patience: float = 12.0  #: timers beyond it are INFORMATIONAL
    pid: int | None = None  #: of the server, for what only /proc shows
    command: str | None = None  #: starts another server like it, for what ends one
    max_content: int = 64 * 1024 * 1024
    max_json: int = 1024 * 1024
    max_header: int = 65535
    max_connections: int = 10_000
    blocking_action: str | None = None  #: an action that takes its time in another thread
    failing_action: str | None = None  #: an action whose handler raises
    pipelining_client: str | None = None  #: a command: a client that has many requests under way


class Run:
    """One case being run: its options, what it saw so far, and what is to be closed behind it."""

    def __init__(self, case: Case, options: Options) -> None:
        self.case = case
        self.options = options
        self.seen: list[str] = []
        self.deviations: list[tuple[str, str]] = []
        self._stack = ExitStack()
        self._begun = time.monotonic()

    def note(self, words: str) -> None:
        """One line of what happened, for the report."""
        if len(self.seen) >= KEPT_LINES:
            del self.seen[KEPT_LINES // 2]  # how it began, and how it ended, say most
        self.seen.append(f"{self.elapsed:6.2f} s  {words}")

    @property
    def elapsed(self) -> float:
        """Seconds since the case began."""
        return time.monotonic() - self._begun

    def deviates(self, expected: str, came: str) -> None:
        """Served, but not to the letter: the case goes on and is NON-STRICT at best."""
        self.deviations.append((expected, came))

    def check_part(self) -> None:
        """Raises `Unimplemented` if the target does not have the part that the case is about."""

    def closing(self, close: Callable[[], object]) -> None:
        """Call it when the case has ended, however it did."""
        self._stack.callback(close)

    def close(self) -> None:
        self._stack.close()


class Target(Protocol):
    """What is being tested, in one role."""

    name: str
    jobs: int

    def begin(self, case: Case) -> Run: ...

    def after(self, run: Any) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Case:
    """`group` is the module it stands in; `star`: the tutorial's own one-shot server fails it.

    `part`: the part of the contract that it is about, if a target need not have that.
    """

    id: str
    title: str
    mechanism: str
    section: str
    expected: str
    run: Callable[[Any], None]
    role: str = SERVER
    star: bool = False
    slow: bool = False
    heavy: bool = False
    phase: str = TOGETHER
    group: str = ""
    part: str | None = None


@dataclass(slots=True)
class Result:
    """What became of a case. `seen` are lines for people."""

    case: Case
    verdict: str
    expected: str
    came: str
    seconds: float
    seen: list[str] = field(default_factory=list)


#: Every registered case, in the order of the files.
CASES: dict[str, Case] = {}


def case(
    id: str,
    title: str,
    *,
    mechanism: str,
    section: str,
    expected: str,
    role: str = SERVER,
    star: bool = False,
    slow: bool = False,
    heavy: bool = False,
    phase: str = TOGETHER,
    part: str | None = None,
) -> Callable[[F], F]:
    """Decorator: register a function as the case `id`. Raises `ValueError` for an id that is taken."""

    def register(function: F) -> F:
        more = (role, star, slow, heavy, phase, _group(function), part)
        _add(Case(id, title, mechanism, section, expected, function, *more))
        return function

    return register


def each(
    rows: Mapping[str, Any],
    title: str,
    *,
    mechanism: str,
    section: str,
    expected: str,
    role: str = SERVER,
    star: bool = False,
    slow: bool = False,
    heavy: bool = False,
    phase: str = TOGETHER,
    part: str | None = None,
) -> Callable[[F], F]:
    """Decorator: one case for each row `id: arguments`, a tuple or a single one.

    `title` and `expected` are formatted with the arguments.
    """

    def register(function: F) -> F:
        for id, row in rows.items():
            arguments = row if isinstance(row, tuple) else (row,)
            words, wanted = title.format(*arguments), expected.format(*arguments)

            def bound(run: Any, arguments: tuple[Any, ...] = arguments) -> None:
                partial(function, run)(*arguments)

            more = (role, star, slow, heavy, phase, _group(function), part)
            _add(Case(id, words, mechanism, section, wanted, bound, *more))
        return function

    return register


def _group(function: Callable[..., None]) -> str:
    return function.__module__.rpartition(".")[2]


def _add(new: Case) -> None:
    if new.id in CASES:
        raise ValueError(f"two cases are called {new.id}")
    CASES[new.id] = new
