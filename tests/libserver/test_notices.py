"""What may happen at any rate is told some times, and then as a number."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from eventloop import EventLoop
from libserver.notices import TOLD, WITHIN, Notices
from tests.fakes.clock import FakeClock
from tests.support.server import Caught, caught


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def loop(clock: FakeClock) -> Iterator[EventLoop]:
    loop = EventLoop(clock=clock)
    yield loop
    loop.close()


@pytest.fixture
def log() -> Iterator[Caught]:
    with caught() as found:
        yield found


def test_each_kind_is_told_so_often_and_then_counted(loop: EventLoop, clock: FakeClock, log: Caught) -> None:
    notices = Notices(loop)
    for _ in range(2):  # a new count begins when the old one has been told
        for n in range(TOLD + 5):
            notices.tell("full", "it is full: %d", n)
        notices.tell("late", "it is late")
        assert log.texts() == [*(f"it is full: {n}" for n in range(TOLD)), "it is late"]
        clock.advance(WITHIN)
        loop.run_once(0)
        assert log.texts()[TOLD + 1 :] == [f"full: 5 more within {WITHIN:g} s"]
        assert vars(log.records[-1])["count"] == 5
        log.records.clear()
    clock.advance(WITHIN)
    loop.run_once(0)
    assert log.records == []


def test_the_words_of_what_is_only_counted_are_not_even_made(loop: EventLoop, log: Caught) -> None:
    notices = Notices(loop)
    asked: list[int] = []

    def facts() -> dict[str, object]:
        asked.append(1)
        return {"peer": "its name"}

    for _ in range(TOLD * 3):
        notices.tell("full", "it is full", facts=facts, limit=1)
    assert len(asked) == len(log.records) == TOLD
    fields = vars(log.records[0])
    assert (fields["event"], fields["peer"], fields["limit"]) == ("full", "its name", 1)


def test_at_the_end_what_was_counted_is_told(loop: EventLoop, clock: FakeClock, log: Caught) -> None:
    notices = Notices(loop)
    for _ in range(TOLD + 1):
        assert notices.due("failed", logging.ERROR) == (notices._seen["failed", logging.ERROR] <= TOLD)
    notices.sum_up()
    assert log.texts(logging.ERROR) == [f"failed: 1 more within {WITHIN:g} s"]
    notices.sum_up()
    clock.advance(WITHIN)
    loop.run_once(0)
    assert len(log.records) == 1
