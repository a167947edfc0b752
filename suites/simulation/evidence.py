"""What does an invariant look at, and when is it told to look?

    turned(world)            after each turn of the server's loop
    swept(world)             after each turn with few connections, every so many with many: for who looks at all
    ended(world, ending)     when a connection has ended
    over(world)              when the server has returned and the clients are done

Each says what is wrong by `world.violated(name, words)`.

Not here: what must hold (`invariants`, `push_invariants`).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from libserver.reasons import CloseReason

from .chronicle import Chronicle
from .clock import SimClock
from .kernel import Kernel
from .oracle import Conversation
from .peers import Probe
from .programs import Serving
from .served import Log, WatchedServer

__all__ = ["Ending", "Evidence", "Invariant"]


class Evidence(Protocol):
    """What an invariant looks at in its world, and what it says there."""

    clock: SimClock
    kernel: Kernel
    server: WatchedServer
    server_program: Serving
    clients: list[Any]
    probe: Probe | None  #: the newcomer, once everything has healed
    chronicle: Chronicle | None  #: what was published, if the server has topics
    log: Log
    escaped: BaseException | None  #: from the server's loop

    turn_began: float  #: when select came back
    turn_progressed: bool
    turn_injected: bool  #: its readiness was made up, or a part of it
    turn_woken_by: str
    turn_stalls: list[float]  #: for how long handlers have held it up

    sigterm_at: float | None
    signalled_twice: bool
    must_end_by: float | None
    may_cut_from: float  #: who is still there then may be cut

    def number_of(self, message: object) -> int:
        """The connection's number, in the order in which they are first spoken of."""

    def violated(self, name: str, words: str) -> None:
        """The invariant of this name does not hold."""


class Ending(NamedTuple):
    """A connection of the server's has ended."""

    message: Any
    reason: CloseReason
    conversation: Conversation | None  #: None for raw echo


class Invariant:
    """A promise. `name` is its word in the report and the key of the bug that breaks it."""

    name = ""

    def turned(self, world: Evidence) -> None: ...

    def swept(self, world: Evidence) -> None: ...

    def ended(self, world: Evidence, ending: Ending) -> None: ...

    def over(self, world: Evidence) -> None: ...
