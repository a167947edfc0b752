"""Do blocking functions run in a bounded number of threads, and come back to the loop?"""

from __future__ import annotations

import gc
import queue
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from libserver.pool import HandlerPool

Returned = tuple[Any, ...]


class Loop:
    """What `call_soon_threadsafe` hands over, for the test to run."""

    def __init__(self) -> None:
        self.handed: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]]] = queue.Queue()

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any) -> None:
        self.handed.put((callback, args))

    def run_one(self) -> None:
        callback, args = self.handed.get(timeout=20)
        callback(*args)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def pool(loop: Loop) -> Iterator[HandlerPool]:
    pool = HandlerPool(2, loop.call_soon_threadsafe)
    yield pool
    pool.close()


def test_a_function_runs_in_another_thread_and_its_result_comes_back_with_the_arguments(
    loop: Loop, pool: HandlerPool
) -> None:
    got: list[Returned] = []
    pool.submit(threading.current_thread, lambda *returned: got.append(returned), "mine")
    loop.run_one()
    ((mine, thread, error),) = got
    assert (mine, error) == ("mine", None)
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert thread.name == "handler-1"


@pytest.mark.parametrize("kind", [ValueError, KeyError])
def test_what_a_function_raises_comes_back(loop: Loop, pool: HandlerPool, kind: type[Exception]) -> None:
    got: list[Returned] = []

    def fail() -> None:
        raise kind("words")

    pool.submit(fail, lambda *returned: got.append(returned))
    loop.run_one()
    ((result, error),) = got
    assert result is None
    assert isinstance(error, kind)


def press_ctrl_c() -> None:
    # Not by exec(): CPython takes a KeyboardInterrupt that leaves an exec for the whole process's, and exits with 130.
    raise KeyboardInterrupt


@pytest.mark.parametrize("leave", [sys.exit, press_ctrl_c])
def test_a_function_that_wants_to_end_everything_does_not_even_cost_a_thread(
    loop: Loop, pool: HandlerPool, leave: Callable[[], None]
) -> None:
    got: list[Returned] = []
    for _ in range(5):
        pool.submit(leave, lambda *returned: got.append(returned))
        loop.run_one()
        pool.returned()
    assert all(isinstance(error, RuntimeError) for _, error in got)
    pool.submit(lambda: 1, lambda *returned: got.append(returned))
    loop.run_one()
    assert got[-1] == (1, None)


def test_threads_start_on_first_need_and_never_more_than_allowed(loop: Loop) -> None:
    before = set(threading.enumerate())  # some of which are about to end
    pool = HandlerPool(3, loop.call_soon_threadsafe)
    assert set(threading.enumerate()) <= before
    door = threading.Event()
    for n in range(1, 7):
        pool.submit(door.wait, lambda *returned: None)
        assert len(set(threading.enumerate()) - before) == min(n, 3)
    door.set()
    pool.close()
    for _ in range(6):
        loop.run_one()


def test_it_is_full_when_as_many_wait_as_run_and_has_room_once_one_has_returned(loop: Loop, pool: HandlerPool) -> None:
    door = threading.Event()
    for _ in range(4):
        assert not pool.full
        pool.submit(door.wait, lambda *returned: pool.returned())
    assert pool.full
    door.set()
    loop.run_one()
    assert not pool.full
    for _ in range(3):
        loop.run_one()
    assert pool.outstanding == 0


def test_without_any_thread_to_be_had_nothing_is_handed_over(
    loop: Loop, pool: HandlerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError):
            pool.submit(lambda: 1, lambda *returned: None)
    assert pool.outstanding == 0
    got: list[Returned] = []
    pool.submit(lambda: 1, lambda *returned: got.append(returned))
    loop.run_one()
    with monkeypatch.context() as patch:  # one thread runs: it must do
        patch.setattr(threading.Thread, "start", no_thread)
        for _ in range(3):
            pool.submit(lambda: 2, lambda *returned: got.append(returned))
    for _ in range(3):
        loop.run_one()
    assert got == [(1, None)] + [(2, None)] * 3


def test_an_idle_thread_keeps_nothing_of_its_last_task_alive(loop: Loop) -> None:
    class Thing:
        pass

    pool = HandlerPool(1, loop.call_soon_threadsafe)
    thing = Thing()
    alive = weakref.ref(thing)
    pool.submit(lambda thing=thing: thing, lambda *returned: None)  # type: ignore[misc]
    del thing
    loop.run_one()
    done = threading.Event()
    pool.submit(done.set, lambda *returned: None)
    assert done.wait(20)
    loop.run_one()
    gc.collect()
    assert alive() is None
    pool.close()


def test_closing_ends_its_threads_once_they_are_done(loop: Loop) -> None:
    before = set(threading.enumerate())
    pool = HandlerPool(2, loop.call_soon_threadsafe)
    door = threading.Event()
    for _ in range(2):
        pool.submit(door.wait, lambda *returned: None)
    mine = set(threading.enumerate()) - before
    assert len(mine) == 2
    pool.close()
    door.set()
    for thread in mine:
        thread.join(20)
        assert not thread.is_alive()
