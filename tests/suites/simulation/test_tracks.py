"""Does the second reading of push.md agree with the first, and does a track tell every step that is wrong?"""

from __future__ import annotations

import pytest

from protocol import push
from suites.simulation.tracks import NAMES, Place, Track, overlaps, takes

PATTERNS = ("a/*", "a/**", "a/x/*", "a/x/**", "b/*", "b/**")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_takes_what_the_server_says_it_takes(pattern: str) -> None:
    assert [takes(pattern, name) for name in NAMES] == [push.matches(pattern, name) for name in NAMES]
    assert any(takes(pattern, name) for name in NAMES)


def test_a_name_takes_itself_alone() -> None:
    for name in NAMES:
        assert [other for other in NAMES if takes(name, other)] == [name]
    assert takes("*", "*"), "without a level above it is a name, though none that a server allows"
    assert not takes("*", "a")


def test_two_overlap_where_the_server_says_so() -> None:
    for one in (*NAMES, *PATTERNS):
        for other in (*NAMES, *PATTERNS):
            assert overlaps(one, other) == push.overlap(one, other), (one, other)


def test_a_track_goes_from_message_to_message_and_over_gaps() -> None:
    track = Track("e", 3)
    assert track.message(4) is None
    assert track.gap(5, 7, 3) is None
    assert track.message(8) is None
    assert Place("e", track.seq) == Place("e", 8)


@pytest.mark.parametrize("seq", [3, 5, "4", None])
def test_a_message_that_is_not_the_next_one_is_wrong(seq: object) -> None:
    assert Track("e", 3).message(seq) == f"message {seq} follows 3"


@pytest.mark.parametrize(
    ("first", "last", "dropped"),
    [(3, 5, 3), (5, 5, 1), (4, 5, 1), (4, 5, 3), (4, 3, 0), (4, 5, None), ("4", 5, 2), (4, None, 2)],
)
def test_a_gap_that_is_off_is_wrong(first: object, last: object, dropped: object) -> None:
    track = Track("e", 3)
    assert track.gap(first, last, dropped) == f"a gap from {first} to {last}, {dropped} dropped, follows 3"
    assert track.seq == 3


def test_behind_another_epoch_comes_a_gap_of_unknown_size_first() -> None:
    track = Track("e", 0, unknown=True)
    assert track.message(1) == "message 1 comes before the gap that stands for another epoch"
    assert track.gap(1, 4, 4) is not None
    assert track.gap(2, 4, None) is not None
    assert track.gap(1, 4, None) is None
    assert track.message(5) is None
    assert track.gap(6, 6, None) is not None, "once"


def test_where_nothing_is_forgotten_that_gap_covers_nothing() -> None:
    track = Track("e", 0, unknown=True)
    assert track.gap(1, 0, None) is None
    assert track.message(1) is None
