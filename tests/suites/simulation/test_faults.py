"""Does what may go wrong go wrong as often as its world says, by its own luck, and is it counted?"""

from __future__ import annotations

from random import Random

from suites.simulation.faults import NONE, RATES, Faults


def test_a_fault_hits_at_its_rate_and_is_counted() -> None:
    faults = Faults(Random(1), {"always": 1.0, "never": 0.0, "half": 0.5})
    hits = [faults.hit("half") for _ in range(1000)]
    assert 400 < sum(hits) < 600
    assert all(faults.hit("always") for _ in range(10))
    assert not any(faults.hit(name) for name in ("never", "unknown"))
    assert faults.hits == {"half": sum(hits), "always": 10}


def test_a_connection_s_luck_is_its_own_whoever_else_is_there() -> None:
    rates = {"half": 0.5}

    def decided(others: int) -> list[bool]:
        faults, luck = Faults(Random(1), rates), Random(7)
        for _ in range(others):
            faults.hit("half")
        return [faults.hit("half", luck) for _ in range(50)]

    assert decided(0) == decided(9)


def test_who_has_no_such_fault_draws_no_lot() -> None:
    random = Random(1)
    Faults(random, NONE).hit("anything")
    assert random.random() == Random(1).random()


def test_a_healed_world_has_none_but_remembers_those_it_had() -> None:
    faults = Faults(Random(1), {"always": 1.0})
    faults.hit("always")
    faults.heal()
    assert not faults.hit("always")
    faults.count("by somebody else")
    assert faults.hits == {"always": 1, "by somebody else": 1}


def test_rates_are_drawn_below_the_highest_and_a_third_of_the_worlds_is_calm() -> None:
    worlds = [Faults.drawn(Random(seed)) for seed in range(300)]
    assert all(0 <= rate <= RATES[name] for world in worlds for name, rate in world.items())
    assert 70 < sum(not world for world in worlds) < 130
    assert {name for world in worlds for name in world} == set(RATES)
    assert Faults.drawn(Random(5)) == worlds[5]
