"""Limits hold or are refused, and sizes read as people write them."""

from __future__ import annotations

import pytest

from protocol import Limits, limits
from protocol.limits import parse_count, parse_size


def test_the_defaults_are_the_wires_ceiling_and_nats_max_payload():
    assert Limits().max_header == 65535
    assert Limits().max_content == 64 * 1024 * 1024


@pytest.mark.parametrize("value", [1, 100, 65535])
def test_a_header_limit_that_a_prefix_can_say_holds(value):
    assert Limits(max_header=value).max_header == value


@pytest.mark.parametrize("value", [0, -1, 65536, 10**9])
def test_a_header_limit_that_no_prefix_can_say_is_refused(value):
    with pytest.raises(ValueError, match=f"max_header must be from 1 to 65535, not {value}"):
        Limits(max_header=value)


@pytest.mark.parametrize("value", [1, 2**40])
def test_a_content_limit_from_one_byte_holds(value):
    assert Limits(max_content=value).max_content == value


def test_json_has_a_limit_of_its_own():
    assert Limits().max_json == 1024 * 1024
    assert Limits(max_json=1).max_json == 1
    with pytest.raises(ValueError, match="max_json must be at least 1 byte, not 0"):
        Limits(max_json=0)


@pytest.mark.parametrize("value", [0, -1])
def test_a_content_limit_that_would_refuse_everything_is_refused(value):
    with pytest.raises(ValueError, match="max_content must be at least 1 byte"):
        Limits(max_content=value)


def test_limits_cannot_be_changed_once_they_are_in_force():
    with pytest.raises(AttributeError):
        Limits().max_content = 1


def test_a_cached_header_is_never_larger_than_the_wire_allows():
    assert limits.CACHED_HEADER_LENGTH <= limits.WIRE_MAX_HEADER + 2
    assert limits.CACHED_HEADER_LENGTH * limits.CACHED_HEADERS <= 2**20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65535", 65535),
        ("64k", 65536),
        ("64K", 65536),
        ("64m", 64 * 2**20),
        ("1G", 2**30),
        (" 2m\n", 2 * 2**20),
        ("007", 7),
    ],
)
def test_a_size_is_read_as_people_write_it(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", " ", "k", "-1", "+1", "1.5m", "1e3", "64kb", "64 k", "1t", "0x10", "1_000", "٣", "²", "1ℳ"]
)
def test_anything_else_is_refused_with_what_would_be_accepted(text):
    with pytest.raises(ValueError, match="is not a size: write bytes, or a number with k, m or g"):
        parse_size(text)


@pytest.mark.parametrize("text", ["9" * 16, "9" * 400 + "k", "9" * 5000])
def test_a_size_of_more_digits_than_anybody_means_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is too large a size: write at most 15 digits"):
        parse_size(text)
    assert parse_size("9" * 15) == 10**15 - 1


def test_a_count_is_a_whole_number_of_at_most_nine_digits() -> None:
    assert [parse_count(text) for text in ("0", "007", "999999999")] == [0, 7, 999_999_999]
    for text in ("", "-1", "1.5", "1k", "\u0663", "1000000000", "9" * 5000):
        with pytest.raises(ValueError, match="is not a count: write a whole number"):
            parse_count(text)
