"""A value is shown as `str` shows it, in time and room that do not depend on how it is nested."""

from __future__ import annotations

import json
import random

import pytest

from protocol import shown as module
from protocol.shown import SHOWN, shown
from tests.protocol.test_nesting import chance_value

VALUES = [
    1,
    -2.5,
    1e300,
    None,
    True,
    "",
    "it's é\n",
    [],
    {},
    [[]],
    [{}],
    {"a": []},
    ["'", '"'],
    {"k'": 'v"', "x": [1, {}]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_an_ordinary_value_is_what_str_says(value):
    assert shown(value) == str(value)


def test_any_value_is_what_str_says_up_to_the_cut(monkeypatch):
    chance = random.Random(7)
    for _ in range(300):
        value = [chance_value(chance, chance.randrange(6)) for _ in range(2)]
        whole = str(value)
        for most in (SHOWN, len(whole), len(whole) - 1, len(whole) // 2, 3):
            monkeypatch.setattr(module, "SHOWN", most)
            assert shown(value) == (whole if len(whole) <= most else whole[:most] + "...")


@pytest.mark.parametrize(
    "one", ["[]", "[" * 100 + "]" * 100, '{"a":' * 100 + "0" + "}" * 100, '"x"', '"' + "y" * 9000 + '"']
)
def test_a_large_value_is_cut_and_no_more_of_it_is_looked_at(one):
    value = json.loads("[" + ",".join([one] * (1 << 17)) + "]") if len(one) < 9 else [json.loads(one)] * (1 << 17)
    text = shown(value)
    assert len(text) == SHOWN + len("...")
    assert text[:-3] == str(value[:SHOWN])[:SHOWN]


class Counted(list):
    taken = 0

    def __iter__(self):
        for item in super().__iter__():
            self.taken += 1
            yield item


def test_what_is_cut_off_is_not_even_walked():
    value = Counted([[]] * 1_000_000)
    shown(value)
    assert value.taken < SHOWN


def test_a_long_string_is_cut_alone_and_inside():
    assert shown("z" * SHOWN) == "z" * SHOWN
    assert shown("z" * (SHOWN + 1)) == "z" * SHOWN + "..."
    assert shown(["z" * 10**6]) == "['" + "z" * (SHOWN - 2) + "..."
