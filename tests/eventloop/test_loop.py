"""The loop: order within a turn, stale events, errors, threads, and nothing that sleeps."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventloop import EventLoop
from eventloop.loop import COARSE, READ, WRITE
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import AGAIN, Errno, FaultySocket
from tests.fakes.selector import FakeSelector, SleepsForEver


class Handler:
    """Notes what it hears in a shared log, then does what it was given to do."""

    def __init__(self, name: str, log: list[str], act: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self.log = log
        self.act = act

    def on_readable(self) -> None:
        self.log.append(f"{self.name} readable")
        self.act()

    def on_writable(self) -> None:
        self.log.append(f"{self.name} writable")
        self.act()


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def raise_boom(*_: Any) -> None:
    raise RuntimeError("boom")


# --- registering ---------------------------------------------------------------------


def test_registering_changes_and_zero_takes_out_of_the_selector(loop: EventLoop, log: list[str]) -> None:
    sock, handler = FaultySocket(), Handler("a", log)
    for events in (READ, READ | WRITE, READ | WRITE, WRITE):
        loop.register(sock, events, handler)
        assert loop.selector.get_key(sock).events == events
    loop.register(sock, 0, handler)
    assert sock not in loop.selector.get_map()
    loop.register(sock, 0, handler)  # and again is fine
    assert sock not in loop.selector.get_map()


def test_registering_another_handler_for_the_same_events_hands_over_to_it(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    sock = FaultySocket()
    loop.register(sock, READ, Handler("first", log))
    loop.register(sock, READ, Handler("second", log))
    selector.ready(sock, READ)
    loop.run_once()
    assert log == ["second readable"]


def test_registering_the_same_again_does_not_touch_the_selector(
    loop: EventLoop, selector: FakeSelector, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sock, handler = FaultySocket(), Handler("a", log)
    loop.register(sock, READ, handler)
    monkeypatch.setattr(selector, "modify", raise_boom)
    loop.register(sock, READ, handler)
    with pytest.raises(RuntimeError, match="boom"):
        loop.register(sock, WRITE, handler)


def test_a_peer_that_hangs_up_does_not_wake_who_registered_for_nothing(
    real_loop: EventLoop, pair: tuple[socket.socket, socket.socket], log: list[str]
) -> None:
    mine, theirs = pair
    handler = Handler("a", log)
    real_loop.register(mine, READ, handler)
    real_loop.register(mine, 0, handler)
    theirs.close()
    assert real_loop.run_once(0) == 0
    real_loop.register(mine, READ, handler)
    assert real_loop.run_once(0) == 1
    assert log == ["a readable"]
    real_loop.register(mine, 0, handler)


# --- order within a turn -------------------------------------------------------------


def test_a_turn_is_events_then_due_timers_then_callbacks_handed_over(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    a, b = FaultySocket(), FaultySocket()
    loop.register(a, READ | WRITE, Handler("a", log, lambda: loop.call_soon(log.append, "soon from a")))
    loop.register(b, READ, Handler("b", log))
    loop.call_soon(log.append, "soon")
    loop.call_later(0, log.append, "timer")
    selector.ready(b, READ)
    selector.ready(a, READ | WRITE)
    assert loop.run_once() == 2 + 1 + 3
    assert log == ["b readable", "a readable", "a writable", "timer", "soon", "soon from a", "soon from a"]


def test_call_soon_from_a_timer_still_runs_in_this_turn(loop: EventLoop, log: list[str]) -> None:
    loop.call_later(0, loop.call_soon, log.append, "soon")
    loop.run_once()
    assert log == ["soon"]


def test_call_soon_from_call_soon_runs_in_the_next_turn_without_sleeping(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    loop.call_soon(loop.call_soon, log.append, "second turn")
    assert loop.run_once() == 1
    assert log == []
    assert loop.run_once() == 1
    assert log == ["second turn"]
    assert selector.timeouts == [0, 0]


def test_call_soon_that_calls_itself_does_not_keep_the_turn(loop: EventLoop) -> None:
    ran = []

    def again() -> None:
        ran.append(1)
        loop.call_soon(again)

    again()
    for turn in range(2, 6):
        assert loop.run_once() == 1
        assert len(ran) == turn


def test_callbacks_run_in_the_order_they_were_handed_over(loop: EventLoop, log: list[str]) -> None:
    for i in range(5):
        (loop.call_soon if i % 2 else loop.call_soon_threadsafe)(log.append, str(i))
    loop.run_once()
    assert log == list("01234")


def test_now_is_read_once_per_turn_after_select(loop: EventLoop, clock: FakeClock, selector: FakeSelector) -> None:
    before, seen = loop.now, []
    loop.call_later(2.5, lambda: (clock.advance(1.0), seen.append(loop.now)))
    loop.call_later(2.5, lambda: seen.append(loop.now))
    loop.run_once()
    assert seen == [before + 2.5, before + 2.5]
    assert selector.timeouts == [2.5, 0]


def test_lately_follows_now_in_steps_of_a_quarter_of_a_second(loop: EventLoop, clock: FakeClock) -> None:
    start = loop.coarse_now
    assert start == loop.now
    clock.advance(COARSE / 2)
    loop.run_once(0)
    assert loop.coarse_now is start  # the same float, shared by all who note it
    clock.advance(COARSE / 2)
    loop.run_once(0)
    assert loop.coarse_now is loop.now
    assert loop.now == start + COARSE


@pytest.mark.parametrize(
    ("ready", "told"),
    [(READ, ["a readable"]), (WRITE, ["a writable"]), (READ | WRITE, ["a readable", "a writable"])],
)
def test_a_handler_is_told_of_what_is_ready_and_of_nothing_else(
    loop: EventLoop, selector: FakeSelector, log: list[str], ready: int, told: list[str]
) -> None:
    sock = FaultySocket()
    loop.register(sock, READ | WRITE, Handler("a", log))
    selector.ready(sock, ready)
    assert loop.run_once() == 1
    assert log == told


# --- stale events --------------------------------------------------------------------


def test_the_event_of_a_handler_closed_earlier_in_the_batch_comes_to_itself_alone(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    victim = FaultySocket()
    victim_handler = Handler("victim", log)

    def close_victim() -> None:
        loop.register(victim, 0, victim_handler)
        victim.close()

    killer = FaultySocket()
    loop.register(killer, READ, Handler("killer", log, close_victim))
    loop.register(victim, READ, victim_handler)
    selector.ready(killer, READ)
    selector.ready(victim, READ)
    loop.run_once()
    # The event is delivered: whoever is registered checks for itself. It is not heard of again.
    assert log == ["killer readable", "victim readable"]
    assert loop.run_once(0) == 0


def test_an_event_for_a_descriptor_number_reused_in_the_same_batch_never_reaches_the_stranger(
    real_loop: EventLoop, log: list[str]
) -> None:
    """With real descriptors: the kernel gives the lowest free number, so reuse is certain."""
    socks = [socket.socketpair() for _ in range(3)]
    newcomers: list[socket.socket] = []
    handlers: dict[int, Handler] = {}

    def replace_the_others(me: int) -> None:
        """The first to be served closes both others and opens new sockets, on their numbers."""
        if newcomers:
            return
        others = [i for i in range(3) if i != me]
        numbers = {socks[i][0].fileno() for i in others}
        for i in others:
            real_loop.register(socks[i][0], 0, handlers[i])
            socks[i][0].close()
        while numbers - {sock.fileno() for sock in newcomers}:
            sock = socket.socket()
            newcomers.append(sock)
            real_loop.register(sock, WRITE, Handler("stranger", log))

    for i, (mine, theirs) in enumerate(socks):
        handlers[i] = Handler(str(i), log, lambda i=i: replace_the_others(i))
        real_loop.register(mine, READ, handlers[i])
        theirs.send(b"x")
    try:
        assert real_loop.run_once(0) == 3
        assert sorted(log) == ["0 readable", "1 readable", "2 readable"]
    finally:
        for sock in [*newcomers, *(sock for pair in socks for sock in pair)]:
            sock.close()


# --- time ----------------------------------------------------------------------------


def test_call_later_runs_at_its_time_and_in_order(loop: EventLoop, clock: FakeClock, log: list[str]) -> None:
    start = clock.now
    for seconds in (3, 1, 2, 1):
        loop.call_later(seconds, lambda s=seconds: log.append(f"{s} at {clock.now - start:g}"))
    while len(log) < 4:
        loop.run_once()
    assert log == ["1 at 1", "1 at 1", "2 at 2", "3 at 3"]


def test_call_later_counts_from_the_time_of_the_call_not_from_the_turns(
    loop: EventLoop, clock: FakeClock, log: list[str]
) -> None:
    clock.advance(5.0)  # the loop has not turned since: its `now` is old
    loop.call_later(1.0, log.append, "ran")
    assert loop.run_once(0.5) == 0
    assert loop.run_once(0.5) == 1


def test_call_at_runs_when_the_clock_says_so(loop: EventLoop, clock: FakeClock, log: list[str]) -> None:
    loop.call_at(clock.now + 4.0, log.append, "ran")
    loop.call_at(clock.now - 4.0, log.append, "long due")
    loop.run_once()
    assert log == ["long due"]
    loop.run_once()
    assert log == ["long due", "ran"]


def test_a_cancelled_timer_never_runs(loop: EventLoop, log: list[str]) -> None:
    timer = loop.call_later(1.0, log.append, "cancelled")
    loop.call_later(1.0, log.append, "other")
    timer.cancel()
    assert loop.run_once() == 1
    assert log == ["other"]


def test_a_timer_cancelled_by_an_earlier_one_of_the_same_turn_does_not_run(loop: EventLoop, log: list[str]) -> None:
    loop.call_later(1.0, lambda: victim.cancel())
    victim = loop.call_later(1.0, log.append, "victim")
    assert loop.run_once() == 1
    assert log == []


def test_a_timer_cancelled_by_an_event_of_the_same_turn_does_not_run(
    loop: EventLoop, selector: FakeSelector, clock: FakeClock, log: list[str]
) -> None:
    timer = loop.call_later(1.0, log.append, "timer")
    sock = FaultySocket()
    loop.register(sock, READ, Handler("a", log, timer.cancel))
    clock.advance(1.0)
    selector.ready(sock, READ)
    assert loop.run_once() == 1
    assert log == ["a readable"]


def test_cancelling_a_timer_that_ran_is_harmless(loop: EventLoop, log: list[str]) -> None:
    timer = loop.call_later(1.0, log.append, "ran")
    loop.run_once()
    timer.cancel()
    timer.cancel()
    loop.call_later(1.0, log.append, "next")
    loop.run_once()
    assert log == ["ran", "next"]


def test_a_timer_may_cancel_itself_while_it_runs(loop: EventLoop, log: list[str]) -> None:
    timer = loop.call_later(1.0, lambda: (timer.cancel(), log.append("ran")))
    assert loop.run_once() == 1
    assert log == ["ran"]
    assert repr(loop) == "<EventLoop FakeSelector timers=0>"


def test_a_timer_set_by_a_timer_for_now_waits_for_the_next_turn(loop: EventLoop, log: list[str]) -> None:
    loop.call_later(1.0, lambda: loop.call_later(0, log.append, "next turn"))
    assert loop.run_once() == 1
    assert log == []
    assert loop.run_once() == 1
    assert log == ["next turn"]


def test_select_sleeps_for_the_shorter_of_timeout_and_next_timer(loop: EventLoop, selector: FakeSelector) -> None:
    loop.call_later(3.0, print)
    loop.run_once(1.0)
    loop.run_once(9.0)
    assert selector.timeouts == [1.0, 2.0, 0]  # and a look before the timer runs


def test_an_overdue_timer_means_no_sleep_and_no_negative_timeout(
    loop: EventLoop, selector: FakeSelector, clock: FakeClock
) -> None:
    loop.call_later(1.0, int)
    clock.advance(5.0)
    assert loop.run_once() == 1
    assert selector.timeouts == [0, 0]


def test_without_timers_it_sleeps_until_something_happens(loop: EventLoop, selector: FakeSelector) -> None:
    with pytest.raises(SleepsForEver):
        loop.run_once()
    assert selector.timeouts == [None]


class ComesBackBlind(FakeSelector):
    """Its sleep is interrupted until the time is up: it comes back empty, without having looked (PEP 475)."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not timeout:
            return super().select(timeout)
        self.timeouts.append(timeout)
        assert self.clock is not None
        self.clock.advance(timeout + 1000.0)  # stopped, and continued
        return []


def test_who_was_ready_when_a_sleep_was_interrupted_comes_before_the_timers_that_became_due(
    clock: FakeClock, log: list[str]
) -> None:
    selector = ComesBackBlind(clock)
    loop = EventLoop(selector, clock)
    sock = FaultySocket()
    loop.register(sock, READ, Handler("in time", log, lambda: late.cancel()))
    late = loop.call_later(1.0, log.append, "too late")
    loop.call_later(2.0, log.append, "not cancelled")
    selector.ready(sock, READ)
    assert loop.run_once() == 2
    assert loop.ready == 1
    assert log == ["in time readable", "not cancelled"]
    assert selector.timeouts == [1.0, 0]
    loop.close()


def test_the_loop_looks_once_where_somebody_is_ready_or_no_timer_is_due(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    sock = FaultySocket()
    loop.register(sock, READ, Handler("a", log))
    loop.call_later(2.0, log.append, "timer")
    selector.ready(sock, READ)
    loop.run_once()
    loop.run_once(1.0)
    assert selector.timeouts == [2.0, 1.0]
    assert log == ["a readable"]


def test_a_timer_farther_off_than_the_selector_can_count_is_reached_in_steps(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    loop.call_later(60 * 24 * 3600.0, log.append, "ran")
    while not log:
        loop.run_once()
    assert selector.timeouts == [*[24 * 3600.0] * 60, 0]


def test_a_timer_in_a_year_does_not_break_the_real_selector(
    real_loop: EventLoop, pair: tuple[socket.socket, socket.socket], log: list[str]
) -> None:
    real_loop.call_later(365 * 24 * 3600.0, print)
    real_loop.call_later(float("inf"), print)
    pair[1].send(b"x")
    handler = Handler("a", log)
    real_loop.register(pair[0], READ, handler)
    assert real_loop.run_once() == 1
    real_loop.register(pair[0], 0, handler)


def test_a_fifo_of_the_loop_goes_by_the_loops_time(loop: EventLoop, clock: FakeClock) -> None:
    expired: list[str] = []
    fifo = loop.timeout_queue(10.0, expired.append)
    fifo.start("a")
    start = clock.now
    while not expired:
        loop.run_once()
    assert clock.now == start + 10.0


def test_a_fifo_started_between_turns_counts_from_that_moment(loop: EventLoop, clock: FakeClock) -> None:
    """A blocking client turns the loop only while it waits: `now` may be long past."""
    expired: list[str] = []
    fifo = loop.timeout_queue(10.0, expired.append)
    clock.advance(60.0)
    fifo.start("a")
    loop.run_once(9.75)
    assert expired == []
    loop.run_once()
    assert expired == ["a"]


# --- handing over from elsewhere -----------------------------------------------------


def test_another_thread_wakes_a_sleeping_loop(real_loop: EventLoop) -> None:
    ran_in = []
    asleep = threading.Event()
    select = real_loop.selector.select
    woken: list[bool] = []

    def noting_select(timeout: float | None) -> Any:
        asleep.set()
        ready = select(timeout)
        woken.append(bool(ready))
        return ready

    real_loop.selector.select = noting_select  # type: ignore[method-assign]

    def wake() -> None:
        asleep.wait(10)
        real_loop.call_soon_threadsafe(lambda: ran_in.append(threading.current_thread()))

    thread = threading.Thread(target=wake)
    thread.start()
    while not ran_in:
        real_loop.run_once(10.0)
    thread.join()
    assert all(woken)  # by the thread: none of them slept until its timeout
    assert ran_in == [threading.current_thread()]


def test_every_callback_of_many_threads_runs_once_and_in_each_threads_order(real_loop: EventLoop) -> None:
    ran: list[tuple[int, int]] = []

    def hand_over(thread: int) -> None:
        for i in range(500):
            real_loop.call_soon_threadsafe(ran.append, (thread, i))

    threads = [threading.Thread(target=hand_over, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while len(ran) < 4 * 500:
        assert real_loop.run_once(10.0) > 0
    for thread in threads:
        thread.join()
    assert len(ran) == 4 * 500
    for n in range(4):
        assert [i for thread, i in ran if thread == n] == list(range(500))


def test_wakes_without_end_never_block_and_are_read_away_together(real_loop: EventLoop) -> None:
    for _ in range(100_000):  # more bytes than the pair can hold
        real_loop.call_soon_threadsafe(int)
    assert real_loop.run_once(0) == 100_000 + 1  # one event for all the bytes
    assert 0 in [real_loop.run_once(0) for _ in range(3)]  # and soon none is left


class Counting:
    """One end of a pair of sockets, which notes each byte; `during` runs behind the next read."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self.during: Callable[[], None] | None = None

    def send(self, data: bytes) -> int:
        self.sent += 1
        return self.sock.send(data)

    def recv(self, size: int) -> bytes:
        try:
            return self.sock.recv(size)
        finally:
            during, self.during = self.during, None
            if during is not None:
                during()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


def test_a_loop_that_is_about_to_wake_is_not_woken_again() -> None:
    """Nor is anything lost: what comes while the byte is read away is found in the same turn, or has its own."""
    receiver, sender = (Counting(sock) for sock in socket.socketpair())
    loop = EventLoop(wakeup_pair=lambda: (receiver, sender))
    ran: list[int] = []
    for number in range(3):
        loop.call_soon_threadsafe(ran.append, number)
    assert sender.sent == 1
    receiver.during = lambda: loop.call_soon_threadsafe(ran.append, 3)
    loop.run_once(0)
    assert (ran, sender.sent) == ([0, 1, 2, 3], 1)
    loop.call_soon_threadsafe(ran.append, 4)
    assert sender.sent == 2
    loop.run_once(10)
    assert ran == [0, 1, 2, 3, 4]
    loop.close()


def test_a_wake_that_the_system_had_no_memory_for_keeps_no_later_one_from_waking() -> None:
    receiver, sender = socket.socketpair()
    short = FaultySocket().script("send", Errno(errno.ENOBUFS), 1)
    loop = EventLoop(wakeup_pair=lambda: (receiver, short))
    for _ in range(3):
        loop.call_soon_threadsafe(int)
    assert short.count("send") == 2
    loop.close()
    receiver.close()
    sender.close()


def test_waking_a_closed_loop_is_harmless() -> None:
    loop = EventLoop()
    loop.close()
    loop.call_soon_threadsafe(print)


def test_a_spurious_wake_is_survived(selector: FakeSelector, clock: FakeClock, log: list[str]) -> None:
    receiver = FaultySocket().script("recv", AGAIN)
    loop = EventLoop(selector, clock, wakeup_pair=lambda: (receiver, FaultySocket()))
    loop.call_later(1.0, log.append, "timer")
    selector.ready(receiver, READ)
    assert loop.run_once() == 1
    assert receiver.calls == [("recv", AGAIN)]
    assert loop.run_once() == 1
    assert log == ["timer"]
    loop.close()


def test_the_waker_watches_for_reading_only(loop: EventLoop, selector: FakeSelector) -> None:
    (key,) = selector.get_map().values()
    assert key.events == READ
    key.data.on_writable()  # part of what a handler has to have


# --- errors --------------------------------------------------------------------------


def test_on_error_gets_the_object_the_error_came_from_and_the_loop_lives_on(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    errors: list[tuple[object, str]] = []
    loop.on_error = lambda source, error: errors.append((source, str(error)))
    bad, good = FaultySocket(), FaultySocket()
    bad_handler = Handler("bad", log, raise_boom)
    loop.register(bad, READ | WRITE, bad_handler)
    loop.register(good, READ, Handler("good", log))
    loop.call_later(0, bad_handler.on_readable)
    loop.call_later(0, log.append, "timer")
    loop.call_soon(raise_boom)
    loop.call_soon(log.append, "soon")
    selector.ready(bad, READ | WRITE)
    selector.ready(good, READ)
    assert loop.run_once() == 2 + 2 + 2
    assert log == ["bad readable", "good readable", "bad readable", "timer", "soon"]
    assert errors == [(bad_handler, "boom"), (bad_handler, "boom"), (raise_boom, "boom")]


def test_without_on_error_it_raises_and_loses_nobody_elses_turn(
    loop: EventLoop, selector: FakeSelector, log: list[str]
) -> None:
    sock = FaultySocket()
    loop.register(sock, READ, Handler("a", log, raise_boom))
    for call in (loop.call_later, lambda _, *what: loop.call_soon(*what)):
        call(0, log.append, "first")
        call(0, raise_boom)
        call(0, log.append, "last")
    selector.ready(sock, READ)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="boom"):
            loop.run_once()
    loop.run_once()
    assert log == ["a readable", "first", "last", "first", "last"]


def test_an_interrupt_in_a_timer_passes_on_error_and_loses_no_other_timer(loop: EventLoop, log: list[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.on_error = lambda source, error: log.append("an interrupt is no error")
    loop.call_later(1.0, interrupt)
    loop.call_later(1.0, log.append, "other")
    with pytest.raises(KeyboardInterrupt):
        loop.run_once()
    loop.run_once()
    assert log == ["other"]


def test_an_expiry_that_raises_lets_the_others_of_its_fifo_expire(loop: EventLoop) -> None:
    expired: list[str] = []

    def expire(subject: str) -> None:
        expired.append(subject)
        if subject == "a":
            raise RuntimeError("boom")

    errors: list[object] = []
    loop.on_error = lambda source, error: errors.append(source)
    fifo = loop.timeout_queue(1.0, expire)
    fifo.start("a")
    fifo.start("b")
    loop.run_once()
    loop.run_once()
    assert expired == ["a", "b"]
    assert errors == [fifo]


# --- running and ending --------------------------------------------------------------


def test_run_once_returns_how_much_was_served(loop: EventLoop, selector: FakeSelector, log: list[str]) -> None:
    assert loop.run_once(0) == 0
    sock = FaultySocket()
    loop.register(sock, READ, Handler("a", log))
    selector.ready(sock, READ)
    loop.call_later(0, print)
    loop.call_later(0, print).cancel()
    loop.call_soon(print)
    assert loop.run_once() == 3


def test_stop_ends_run_after_the_turn(loop: EventLoop, log: list[str]) -> None:
    loop.call_soon(loop.stop)
    loop.call_soon(log.append, "same turn")
    loop.call_soon(loop.call_soon, log.append, "next turn")
    loop.run()
    assert log == ["same turn"]
    loop.call_soon(loop.stop)
    loop.run()  # and it can run again
    assert log == ["same turn", "next turn"]


def test_stop_handed_over_by_a_thread_ends_a_sleeping_run(real_loop: EventLoop) -> None:
    thread = threading.Thread(target=real_loop.call_soon_threadsafe, args=(real_loop.stop,))
    real_loop.call_soon(thread.start)
    real_loop.run()
    thread.join()


def test_close_gives_back_every_descriptor() -> None:
    before = len(os.listdir("/dev/fd"))
    loop = EventLoop()
    assert len(os.listdir("/dev/fd")) > before
    loop.close()
    loop.close()
    assert len(os.listdir("/dev/fd")) == before


def test_close_forgets_what_was_handed_over_and_closes_a_passed_in_selector(
    clock: FakeClock, selector: FakeSelector, log: list[str]
) -> None:
    pair = (FaultySocket(), FaultySocket())
    loop = EventLoop(selector, clock, wakeup_pair=lambda: pair)
    loop.call_soon(log.append, "forgotten")
    loop.close()
    assert selector.closed
    assert all(sock.closed for sock in pair)
    assert not loop._soon


def test_selector_and_clock_default_to_the_systems() -> None:
    loop = EventLoop()
    assert isinstance(loop.selector, selectors.DefaultSelector)
    assert loop.clock is time.monotonic
    assert loop.now <= time.monotonic()
    loop.close()


# --- signals ---------------------------------------------------------------------------


def test_a_signal_heard_too_late_to_be_handled_before_the_sleep_still_ends_it() -> None:
    """What reaches the loop is the byte that the C handler writes, whenever that is."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    try:
        with contextlib.closing(EventLoop()) as loop:
            loop.wake_on_signals()
            signal.raise_signal(signal.SIGUSR2)
            # The handler has run, and nobody was asked to wake: only the byte is left to end this sleep.
            loop.call_later(30, pytest.fail, "slept through the signal")
            assert loop.run_once() == 1
        assert heard == [signal.SIGUSR2]
        assert signal.set_wakeup_fd(-1) == -1  # given back by close
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_every_signal_is_heard_of_also_where_its_handler_is_called_once() -> None:
    """Python notes that one has come, not how often; the bytes are one for each."""
    called: list[int] = []
    numbers = bytearray()
    before = signal.signal(signal.SIGUSR2, lambda number, frame: called.append(number))
    try:
        with contextlib.closing(EventLoop()) as loop:
            loop.wake_on_signals(numbers.extend)
            loop.call_soon_threadsafe(lambda: None)  # its byte is no signal's
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
            os.write(loop._waker.fileno(), bytes([signal.SIGUSR2]))  # as the C handler does, before Python has looked
            os.kill(os.getpid(), signal.SIGUSR2)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
            loop.run_once(0)
        assert called == [signal.SIGUSR2]
        assert numbers == bytes([signal.SIGUSR2] * 2)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_signal_s_handler_may_hear_at_once_what_has_come_and_what_it_hands_over_still_wakes() -> None:
    numbers = bytearray()
    order: list[str] = []

    def handle(number: int, frame: object) -> None:
        loop.hear_signals()
        order.append(f"heard {len(numbers)}")
        loop.call_soon_threadsafe(order.append, "handed over")

    with contextlib.closing(EventLoop()) as loop:
        before = signal.signal(signal.SIGUSR2, handle)
        try:
            loop.wake_on_signals(numbers.extend)
            signal.raise_signal(signal.SIGUSR2)
            loop.call_later(30, pytest.fail, "slept on")
            loop.run_once()
        finally:
            signal.signal(signal.SIGUSR2, before)
    assert order == ["heard 1", "handed over"]


# --- turns that take long ------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "told"), [(0.09, []), (0.11, [0.11]), (5.0, [5.0])])
def test_a_turn_of_run_that_takes_longer_than_slow_is_told_with_its_seconds(
    loop: EventLoop, clock: FakeClock, seconds: float, told: list[float]
) -> None:
    heard: list[float] = []
    loop.on_slow, loop.slow = heard.append, 0.1
    loop.call_soon(clock.advance, seconds)
    loop.call_later(10, loop.stop)  # what it sleeps until then is no part of a turn
    loop.run()
    assert heard == pytest.approx(told)


def test_a_slow_turn_that_nobody_wants_to_hear_of_is_passed_over(loop: EventLoop, clock: FakeClock) -> None:
    loop.slow = 0.1
    loop.call_soon(clock.advance, 5.0)
    loop.call_later(10, loop.stop)
    loop.run()
    assert clock() - loop.now == pytest.approx(0.0)
