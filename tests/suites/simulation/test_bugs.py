"""Does each invariant catch the bugs that break it?"""

from __future__ import annotations

import pytest

from suites.simulation.bug import SEEDS, Bug
from suites.simulation.bugs import BUGS
from suites.simulation.invariants import INVARIANTS
from suites.simulation.world import World


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_is_caught_by_the_invariant_that_it_breaks(bug: Bug) -> None:
    """Alone, so that no other is faster. The first of these seeds is one that is known to catch it."""
    watching = [kind for kind in INVARIANTS if kind.name == bug.breaks]
    for seed in range(bug.seed, bug.seed + SEEDS):
        with bug.applied():
            world = World(seed, watching)
            world.run()
        if world.violations and world.violations[0][0] == bug.breaks:
            return
    pytest.fail(f"{SEEDS} seeds, and nobody noticed that {bug.words}")


def test_for_each_invariant_there_is_a_bug() -> None:
    assert {bug.breaks for bug in BUGS} == {kind.name for kind in INVARIANTS}


def test_bugs_and_invariants_have_names_of_their_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert len({kind.name for kind in INVARIANTS}) == len(INVARIANTS)


def test_without_its_patch_a_bug_is_gone() -> None:
    for bug in BUGS:
        with bug.applied():
            pass
    world = World(BUGS[0].seed)
    world.run()
    assert world.violations == []
