"""A comparison is told in one screen, and to programs in one object."""

import json
import random

from multiconn.loadtest.judge.bootstrap import changes
from multiconn.loadtest.judge.compare import Comparison
from multiconn.loadtest.output.comparison import compare_saved, comparison_object, comparison_text
from tests.multiconn.loadtest.blocks import constant, saved


def comparison(**facts):
    """One that is twice as slow."""
    found = changes(constant(1, 1000, 1_000_000), constant(1, 500, 2_000_000), random.Random(1), paired=True, draws=50)
    return Comparison("tcp://a:1", "tcp://b:1", True, (8, 8), **{"changes": found, **facts})


def test_the_screen_says_what_is_worse_and_by_how_much():
    text = comparison_text(comparison(warnings=["the runs were short"]))
    assert text.splitlines()[0] == "compare: A = tcp://a:1, B = tcp://b:1 (8 pairs of blocks, in turns)"
    assert text.count("WORSE") == 3
    assert "B is worse than A: throughput -50.0%, p50 +100." in text
    assert "- careful: the runs were short" in text
    assert "1,000/s" in text


def test_doubts_come_before_the_verdict_and_nothing_to_judge_is_said():
    text = comparison_text(comparison(doubts=["A is not valid: it was the limit"]))
    assert "NOT VALID; B is worse than A" in text
    assert "- A is not valid: it was the limit" in text
    assert "none: this can't be judged" in comparison_text(Comparison("a", "b", False, (3, 3), doubts=["too few"]))


def test_control_characters_of_a_name_do_not_reach_the_terminal():
    assert "\x1b" not in comparison_text(Comparison("\x1b[2J", "b", False, (0, 0)))


def test_the_object_has_the_same_figures():
    told = json.loads(json.dumps(comparison_object(comparison())))
    assert (told["interleaved"], told["blocks"], told["regression"]) == (True, [8, 8], True)
    assert told["changes"]["throughput_per_s"]["a"] == 1000.0
    assert comparison_object(Comparison("a", "b", False, (0, 0)))["regression"] is None


def test_two_saved_runs_are_compared_and_what_is_not_whole_is_said(tmp_path):
    a, b = (tmp_path / name for name in "ab")
    saved(a, seed=1)
    saved(b, seed=2)
    with (b / "timeseries.jsonl").open("a") as file:
        file.write('{"t": 99')
    said = []
    made = compare_saved(a, b, said.append)
    assert (made.interleaved, made.blocks, made.regressions) == (False, (10, 10), [])
    assert made.a == f"{a} (tcp://h:1)"
    assert len(said) == 1
    assert "the last, is cut" in said[0]
