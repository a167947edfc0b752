"""May an invariant look at what it likes, and leave out the rest?"""

from __future__ import annotations

from suites.simulation.evidence import Invariant
from suites.simulation.plan import Plan
from suites.simulation.world import World


class Looks(Invariant):
    name = "looks"

    def __init__(self) -> None:
        self.looks = 0

    def turned(self, world: object) -> None:
        self.looks += 1


class Ignores(Invariant):
    name = "ignores"


def test_one_is_told_of_what_it_asks_for_and_says_nothing_of_the_rest() -> None:
    world = World(Plan(), [Looks, Ignores])
    world.run()
    looks, ignores = world.invariants
    assert isinstance(looks, Looks)
    assert looks.looks == world.report.turns > 0
    assert world._look == [looks.turned]
    assert world._sweep == []
    assert ignores.name == "ignores"
    assert world.violations == []
