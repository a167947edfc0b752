"""Does each happening do to its world what it says, and are its lighter ones lighter?"""

from __future__ import annotations

from typing import Any

import pytest

from suites.simulation.happenings import (
    Arrival,
    Famine,
    Happening,
    Heal,
    Leap,
    Pause,
    Standstill,
    Terminate,
    TerminateAtCall,
)


def shouts(peer: object) -> None:
    """Shouts something.  Twice."""


HAPPENINGS: dict[str, tuple[Happening, tuple[object, ...], str]] = {
    "arrive": (Arrival(1.0, shouts, 7, 3), (shouts, 7, 3), "3 peers come at once, shouts (shouts something.  Twice)"),
    "starve": (Famine(1.0, 2, 4.0), (2, 4.0), "the server has 3 descriptors left, for 4 s"),
    "suspend": (Leap(1.0, 20.0), (20.0,), "the machine is suspended for 20 s"),
    "stop_server": (Standstill(1.0, 0.5), (0.5,), "the server is stopped (SIGSTOP) for 0.5 s"),
    "pause": (Pause(1.0, "client0", 2.0), ("client0", 2.0), "client0 is stopped for 2 s"),
    "terminate": (Terminate(1.0, second=0.25), (0.25,), "SIGTERM, and again 0.25 s later"),
    "terminate_at_call": (
        *(TerminateAtCall(0.0, None, 17), (17, None)),
        "SIGTERM inside the server's system call number 17",
    ),
    "heal": (
        *(Heal(1.0, Terminate(5.0)), (Terminate(5.0),)),
        "everything heals, and a newcomer asks; then SIGTERM",
    ),
}


class Recording:
    """A world that writes down what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.done.append((name, arguments))


@pytest.mark.parametrize("name", HAPPENINGS)
def test_it_happens_as_it_says(name: str) -> None:
    happening, arguments, words = HAPPENINGS[name]
    world = Recording()
    happening.happen(world)  # type: ignore[arg-type]
    assert world.done == [(name, arguments)]
    assert str(happening) == words


@pytest.mark.parametrize("name", HAPPENINGS)
def test_lighter_ones_come_to_an_end(name: str) -> None:
    """Else shrinking would not."""
    lightest, steps = HAPPENINGS[name][0], 0
    while (lighter := next(iter(lightest.lighter()), None)) is not None:
        assert type(lighter) is type(lightest)
        assert lighter.at == lightest.at
        lightest, steps = lighter, steps + 1
        assert steps < 30
    assert (steps > 0) == bool(list(HAPPENINGS[name][0].lighter()))


def test_a_crowd_is_halved_or_loses_one_and_a_signal_s_second_goes_first() -> None:
    assert [one.count for one in Arrival(0.0, shouts, 1, 8).lighter()] == [4, 7]  # type: ignore[attr-defined]
    assert list(Arrival(0.0, shouts, 1).lighter()) == []
    assert list(Terminate(1.0, second=2.0).lighter()) == [Terminate(1.0), Terminate(1.0, second=1.0)]
    assert [one.number for one in TerminateAtCall(0.0, None, 9).lighter()] == [4, 8]  # type: ignore[attr-defined]
