"""Tests of the connections that wait for a handler thread: order, bound, and whose turn it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from eventloop import EventLoop
from libserver.limits import MAX_WAITING_FOR_POOL
from libserver.notices import Notices
from libserver.pool import HandlerPool
from libserver.pool_queue import PoolQueue


class Waiter:
    """Notes its turn, and does then what a test wants."""

    def __init__(self, turns: list[Waiter], act: Callable[[], object] = lambda: None) -> None:
        self.turns = turns
        self.act = act

    def facts(self) -> dict[str, object]:
        return {"connection": 7}

    def pool_has_room(self) -> None:
        self.turns.append(self)
        self.act()


@pytest.fixture
def pool() -> HandlerPool:
    """Two may be outstanding, and are."""
    pool = HandlerPool(1, lambda *arguments: None)
    pool.outstanding = 2
    return pool


@pytest.fixture
def met() -> list[Exception]:
    return []


@pytest.fixture
def queue(pool: HandlerPool, met: list[Exception]) -> Iterator[PoolQueue[Waiter]]:
    def isolate(waiter: Waiter, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:
            met.append(error)

    loop = EventLoop()
    yield PoolQueue(pool, Notices(loop), isolate)
    loop.close()


def test_they_have_their_turn_in_order_one_for_each_return(pool: HandlerPool, queue: PoolQueue[Waiter]) -> None:
    turns: list[Waiter] = []

    def take_it() -> None:
        pool.outstanding += 1

    first, second = Waiter(turns, take_it), Waiter(turns, take_it)
    queue.wait(first)
    queue.wait(second)
    assert (len(queue), turns) == (2, [])
    queue.handler_returned()
    assert (len(queue), turns) == (1, [first])
    queue.handler_returned()
    assert (len(queue), turns) == (0, [first, second])


def test_one_that_can_not_use_its_turn_passes_it_on(pool: HandlerPool, queue: PoolQueue[Waiter]) -> None:
    turns: list[Waiter] = []
    waiters = [Waiter(turns) for _ in range(3)]
    for waiter in waiters:
        queue.wait(waiter)
    queue.handler_returned()
    assert turns == waiters
    assert not queue


def test_waiting_again_keeps_the_place_and_is_allowed_when_no_other_may(queue: PoolQueue[Waiter]) -> None:
    turns: list[Waiter] = []
    waiters = [Waiter(turns) for _ in range(MAX_WAITING_FOR_POOL)]
    for waiter in waiters:
        assert queue.may_wait(waiter)
        queue.wait(waiter)
    assert not queue.may_wait(Waiter(turns))
    assert queue.may_wait(waiters[0])
    queue.wait(waiters[0])
    assert len(queue) == MAX_WAITING_FOR_POOL
    queue.handler_returned()
    assert turns[0] is waiters[0]


def test_one_that_has_ended_has_no_turn(queue: PoolQueue[Waiter]) -> None:
    turns: list[Waiter] = []
    gone, here = Waiter(turns), Waiter(turns)
    queue.wait(gone)
    queue.wait(here)
    queue.forget(gone)
    queue.forget(gone)
    assert gone not in queue
    assert here in queue
    queue.handler_returned()
    assert turns == [here]


def test_a_bug_in_one_turn_is_isolated_and_the_next_has_its_own(queue: PoolQueue[Waiter], met: list[Exception]) -> None:
    turns: list[Waiter] = []

    def fail() -> None:
        raise OSError("a bug")

    queue.wait(Waiter(turns, fail))
    queue.wait(Waiter(turns))
    queue.handler_returned()
    assert len(turns) == 2
    assert [str(error) for error in met] == ["a bug"]


def test_the_log_hears_of_each_that_waits_once(queue: PoolQueue[Waiter], caplog: pytest.LogCaptureFixture) -> None:
    waiter = Waiter([])
    with caplog.at_level(logging.WARNING, "multiconn.server"):
        queue.wait(waiter)
        queue.wait(waiter)
    (record,) = caplog.records
    assert record.getMessage().endswith("(--handler-threads 1)")
    assert (record.event, record.connection) == ("pool-full", 7)  # type: ignore[attr-defined]
