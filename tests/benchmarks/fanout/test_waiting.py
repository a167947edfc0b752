"""Is what the server holds divided by the messages that wait, and is a run that lost something told?"""

from __future__ import annotations

import pytest

from benchmarks.fanout import waiting
from benchmarks.fanout.waiting import Held, WaitingFailed, measure
from benchmarks.processes import cores
from benchmarks.visit import Settings


def test_what_the_kernel_took_does_not_wait() -> None:
    held = Held(stalled=100, messages=10, frame=50.0, idle=1000, held=5500, unread=100 * 50)
    assert held.waiting == 900
    assert held.per_message == 5.0


def test_where_nothing_waits_nothing_is_held_for_it() -> None:
    assert Held(stalled=1, messages=1, frame=50.0, idle=1000, held=5500, unread=50).per_message == 0.0


def test_the_server_holds_what_is_not_read_and_delivers_it_in_the_end(settings: Settings) -> None:
    said: list[str] = []
    held = measure(20, 200, 1024, 0.0, cores(), said.append)
    assert held.broken == ""
    assert held.frame > 1024
    assert 0 < held.unread < 20 * 200 * 1024
    assert 0 < held.waiting < 20 * 200
    assert said == ["20 subscribe", "200 messages are published", "20 of them are read"]


def test_a_driver_that_ends_says_why(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "driver", lambda *arguments: ["sh", "-c", "echo no room >&2"])
    with pytest.raises(WaitingFailed, match="no room"):
        measure(1, 1, 100, 0.0, cores(), lambda text: None)


def test_a_subscriber_that_was_cut_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    told = '{"frame_bytes": 10, "errors": {"lost": 7, "twice": 0}, "cut": 2}'
    script = f"echo subscribed; read a; echo published; read a; echo '{told}'"
    monkeypatch.setattr(waiting, "driver", lambda *arguments: ["sh", "-c", script])
    assert measure(1, 1, 100, 0.0, cores(), lambda text: None).broken == "7 lost, 2 subscribers were cut"
