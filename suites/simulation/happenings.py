"""What may happen to a server, apart from what goes wrong by chance?

Each is a small record: when (`at`, in seconds from the world's beginning), what, and how to say it. So a plan of
them can be drawn from a seed, written by hand, or made smaller.

Not here: which of them happen in a world (`plan`), how the world does them (`world`), what peers do (`peers`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

__all__ = [
    "Arrival",
    "Famine",
    "Happening",
    "Heal",
    "Leap",
    "Pause",
    "Scene",
    "Standstill",
    "Terminate",
    "TerminateAtCall",
]


class Scene(Protocol):
    """Where all this happens: what a happening has its world do."""

    def arrive(self, script: Callable[[Any], Any], number: int, count: int) -> None: ...

    def starve(self, spare: int, seconds: float) -> None: ...

    def suspend(self, seconds: float) -> None: ...

    def stop_server(self, seconds: float) -> None: ...

    def pause(self, name: str, seconds: float) -> None: ...

    def terminate(self, second: float | None) -> None: ...

    def terminate_at_call(self, number: int, second: float | None) -> None: ...

    def heal(self, then: Terminate) -> None: ...


@dataclass(frozen=True)
class Happening:
    """`happen` is called when it is time; `lighter` are smaller ones that may do as well."""

    at: float

    def happen(self, world: Scene) -> None:
        raise NotImplementedError

    def lighter(self) -> Iterator[Happening]:
        yield from ()


@dataclass(frozen=True)
class Arrival(Happening):
    """Peers come, all with one script; `number` is what their random numbers go by."""

    script: Callable[[Any], Any]
    number: int
    count: int = 1

    def happen(self, world: Scene) -> None:
        world.arrive(self.script, self.number, self.count)

    def lighter(self) -> Iterator[Happening]:
        if self.count > 1:
            yield replace(self, count=self.count // 2)
            yield replace(self, count=self.count - 1)

    def __str__(self) -> str:
        what = (self.script.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        words = f" ({what[0].lower()}{what[1:]})" if what else ""
        name = self.script.__name__.replace("_", " ")
        return f"a peer comes, {name}{words}" if self.count == 1 else f"{self.count} peers come at once, {name}{words}"


@dataclass(frozen=True)
class Famine(Happening):
    """Somebody takes nearly all descriptors away, but `spare`, and gives them back after `seconds`."""

    spare: int
    seconds: float

    def happen(self, world: Scene) -> None:
        world.starve(self.spare, self.seconds)

    def lighter(self) -> Iterator[Happening]:
        yield from _shorter(self)

    def __str__(self) -> str:
        return f"the server has {self.spare + 1} descriptors left, for {self.seconds:.3g} s"


@dataclass(frozen=True)
class Leap(Happening):
    """The whole machine stands still, as in a suspend: nothing arrives meanwhile."""

    seconds: float

    def happen(self, world: Scene) -> None:
        world.suspend(self.seconds)

    def lighter(self) -> Iterator[Happening]:
        yield from _shorter(self)

    def __str__(self) -> str:
        return f"the machine is suspended for {self.seconds:.3g} s"


@dataclass(frozen=True)
class Standstill(Happening):
    """The server alone is stopped, as by SIGSTOP, and then continued: much arrives meanwhile."""

    seconds: float

    def happen(self, world: Scene) -> None:
        world.stop_server(self.seconds)

    def lighter(self) -> Iterator[Happening]:
        yield from _shorter(self)

    def __str__(self) -> str:
        return f"the server is stopped (SIGSTOP) for {self.seconds:.3g} s"


@dataclass(frozen=True)
class Pause(Happening):
    """A client is stopped and continued."""

    client: str
    seconds: float

    def happen(self, world: Scene) -> None:
        world.pause(self.client, self.seconds)

    def lighter(self) -> Iterator[Happening]:
        yield from _shorter(self)

    def __str__(self) -> str:
        return f"{self.client} is stopped for {self.seconds:.3g} s"


def _shorter(happening: Any) -> Iterator[Happening]:
    if happening.seconds > 0.5:
        yield replace(happening, seconds=happening.seconds / 2)


@dataclass(frozen=True)
class Terminate(Happening):
    """SIGTERM; and a second one so many seconds later, unless that is None."""

    second: float | None = None

    def happen(self, world: Scene) -> None:
        world.terminate(self.second)

    def lighter(self) -> Iterator[Happening]:
        if self.second is not None:
            yield replace(self, second=None)
            if self.second > 0.01:
                yield replace(self, second=self.second / 2)

    def __str__(self) -> str:
        return f"SIGTERM{_and_again(self.second)}"


@dataclass(frozen=True)
class TerminateAtCall(Terminate):
    """SIGTERM inside the server's system call of this number (`at` says nothing)."""

    number: int = 1

    def happen(self, world: Scene) -> None:
        world.terminate_at_call(self.number, self.second)

    def lighter(self) -> Iterator[Happening]:
        yield from super().lighter()
        if self.number > 1:
            yield replace(self, number=self.number // 2)
            yield replace(self, number=self.number - 1)

    def __str__(self) -> str:
        return f"SIGTERM inside the server's system call number {self.number}{_and_again(self.second)}"


def _and_again(second: float | None) -> str:
    return "" if second is None else f", and again {second:.3g} s later"


@dataclass(frozen=True)
class Heal(Happening):
    """Nothing goes wrong any more, a newcomer must be served; then SIGTERM, `then.at` seconds later."""

    then: Terminate

    def happen(self, world: Scene) -> None:
        world.heal(self.then)

    def lighter(self) -> Iterator[Happening]:
        for then in self.then.lighter():
            assert isinstance(then, Terminate)
            yield replace(self, then=then)

    def __str__(self) -> str:
        return f"everything heals, and a newcomer asks; then {self.then}"
