"""Are limits that can't hold refused, by name?"""

from __future__ import annotations

import resource
from dataclasses import fields
from typing import Any

import pytest

from libserver import ServerLimits
from libserver.limits import raise_descriptor_limit


def test_the_defaults_are_those_of_the_contract() -> None:
    limits = ServerLimits()
    assert {field.name: getattr(limits, field.name) for field in fields(limits)} == {
        "max_connections": 10_000,
        "max_connections_per_ip": 0,
        "header_timeout": 10.0,
        "content_timeout": 60.0,
        "min_data_rate": 240,
        "idle_timeout": 300.0,
        "send_timeout": 60.0,
        "write_high": 256 * 1024,
        "write_low": 64 * 1024,
        "output_limit": 128 * 1024 * 1024,
        "requests_per_event": 1024,
        "handler_threads": 4,
        "drain_timeout": 10.0,
        "drain_grace": 1.0,
        "max_requests": 0,
        "max_age": 0.0,
        "history": 100,
        "history_bytes": 1024 * 1024,
        "max_topics": 10_000,
        "max_subscriptions": 100,
        "push_queue": 64 * 1024 * 1024,
        "backlog": 4096,
        "tcp_keepalive": 300.0,
        "nagle": False,
        "reuse_port": False,
        "unix_mode": 0,
        "unix_owner": None,
    }


NO_NUMBERS = ("nagle", "reuse_port", "unix_owner")


@pytest.mark.parametrize("name", [f.name for f in fields(ServerLimits) if f.name not in NO_NUMBERS])
def test_no_limit_may_be_negative(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must not be negative"):
        ServerLimits(**{name: -1})


@pytest.mark.parametrize(
    "name", ["max_connections", "write_high", "requests_per_event", "handler_threads", "backlog", "max_topics"]
)
def test_what_nothing_works_without_may_not_be_zero(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        ServerLimits(**{name: 0, "write_low": 0})


@pytest.mark.parametrize(
    "name",
    [
        "max_connections_per_ip",
        "header_timeout",
        "content_timeout",
        "min_data_rate",
        "idle_timeout",
        "send_timeout",
        "write_low",
        "output_limit",
        "drain_timeout",
    ],
)
def test_zero_turns_off_what_is_safe_to_turn_off(name: str) -> None:
    assert getattr(ServerLimits(**{name: 0}), name) == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"write_low": 300_000}, "write_low must not be above write_high"),
        ({"write_high": 1000}, "write_low must not be above write_high"),
        ({"output_limit": 1000}, "output_limit must not be below write_high"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ServerLimits(**values)


def test_an_unknown_limit_is_an_error() -> None:
    with pytest.raises(TypeError, match="max_cats"):
        ServerLimits(max_cats=1)  # type: ignore[call-arg]


def test_the_descriptor_limit_is_raised_as_far_as_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    try:
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_raising_is_refused_the_limit_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_descriptor_limit() == soft
