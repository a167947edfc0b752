"""The smallest and the oldest are at hand, however many come and go."""

from __future__ import annotations

import random

import pytest

from libserver.by_size import BySize


def test_the_smallest_comes_first_and_of_about_one_size_who_came_first() -> None:
    waiting: BySize[str, int] = BySize()
    for name, size in (("large", 1 << 20), ("b", 1025), ("a", 2047), ("none", 0), ("c", 1024), ("small", 3)):
        waiting.add(name, size, size)
    assert len(waiting) == 6
    assert [*waiting] == ["large", "b", "a", "none", "c", "small"]
    assert "b" in waiting
    assert waiting.get("b") == 1025
    assert waiting.take_oldest() == ("large", 1 << 20)
    assert [waiting.take_smallest()[0] for _ in range(5)] == ["none", "small", "b", "a", "c"]
    assert not waiting
    assert waiting.get("b") is None
    waiting.remove("b")
    with pytest.raises(ValueError, match="empty"):
        waiting.take_smallest()


def test_who_is_added_again_waits_once_with_the_new_size() -> None:
    waiting: BySize[str, str] = BySize()
    waiting.add("a", "old", 5000)
    waiting.add("b", "other", 50)
    waiting.add("a", "new", 5)
    assert len(waiting) == 2
    assert waiting.take_smallest() == ("a", "new")
    assert waiting.take_oldest() == ("b", "other")


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_list_that_is_sorted_each_time_would_be(seed: int) -> None:
    chance = random.Random(seed)
    waiting: BySize[int, int] = BySize()
    model: list[tuple[int, int]] = []
    for number in range(2000):
        what = chance.random()
        if what < 0.5:
            size = chance.choice([0, 1, 5, 1000, 1500, 1 << 20])
            waiting.add(number, -number, size)
            model.append((number, size))
        elif model and what < 0.7:
            found = min(model, key=lambda one: one[1].bit_length())
            model.remove(found)
            assert waiting.take_smallest() == (found[0], -found[0])
        elif model and what < 0.9:
            assert waiting.take_oldest()[0] == model.pop(0)[0]
        elif model:
            gone = chance.choice(model)
            model.remove(gone)
            waiting.remove(gone[0])
        assert len(waiting) == len(model)
    waiting.clear()
    assert not waiting
    assert [*waiting] == []
