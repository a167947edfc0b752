"""A text's depth is known before anybody reads it: exactly, and in time that its length bounds."""

from __future__ import annotations

import json
import random

import pytest

from protocol.nesting import is_deeper_than

PIECES = ["[", "]", "{", "}", '"', "\\", '\\"', "[[[", '"]"', "é[", "\ud800", "{}", "\\\\", ","]


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def chance_value(chance: random.Random, levels: int) -> object:
    kind = chance.random()
    if levels == 0 or kind < 0.3:
        return chance.choice([1, None, True, -1e9, *PIECES])
    if kind < 0.65:
        return [chance_value(chance, levels - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(PIECES) + str(n): chance_value(chance, levels - 1) for n in range(chance.randrange(3))}


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_reading_it_shows_whatever_its_strings_hold(seed):
    chance = random.Random(seed)
    for _ in range(100):
        value = [chance_value(chance, chance.randrange(9)) for _ in range(3)]
        text = json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
        levels = depth(value)
        assert not is_deeper_than(levels, text)
        assert is_deeper_than(levels - 1, text) or len(text) <= 2 * (levels - 1)


@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"":', "}"), ('[{"[":', "}]"), ('{"\\"[":[', "]}"), ('["]]]",', "]")]
)
def test_a_level_too_many_is_found_wherever_it_is(opening, closing):
    deep = opening * 60 + "1" + closing * 60
    for text in (deep, f"[{'[[1],[2]],' * 500}{deep}]", f"[{deep},{'[]' + ',{}' * 500}]", f"[{','.join([deep] * 20)}]"):
        there = depth(json.loads(text))
        assert is_deeper_than(there - 1, text)
        assert not is_deeper_than(there, text)


@pytest.mark.parametrize("text", ["[" * 1000, '{"a":' * 1000, "[" * 1000 + "]", '["' + "[" * 1000, "[" * 1000 + '"'])
def test_what_is_opened_and_not_closed_counts_or_is_no_json(text):
    assert is_deeper_than(128, text) or text.startswith('["')


@pytest.mark.parametrize("text", ["]" * 1000, "[]" * 1000, '"' * 1001, "\\" * 1001, "", "[]]" * 400 + "[" * 100])
def test_what_is_no_json_is_answered_all_the_same(text):
    is_deeper_than(128, text)


def test_brackets_in_strings_are_none():
    assert not is_deeper_than(2, json.dumps(["[" * 1000, "{" * 1000, '"[[[\\'] * 10))
    assert not is_deeper_than(2, json.dumps({"]" * 1000: "[" * 1000}))
    hidden = '["' + "]" * 200 + '",' + "[" * 200 + "]" * 200 + ',"' + "[" * 200 + '"]'
    assert depth(json.loads(hidden)) == 201
    assert is_deeper_than(200, hidden)
