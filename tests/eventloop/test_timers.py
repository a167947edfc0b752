"""Timers: in order, cancelled for nothing, and never growing. TimeoutQueue, TimerWheel: few heap entries for many."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from eventloop.timers import SLOTS, TimeoutQueue, Timers, TimerWheel, parse_duration
from tests.fakes.clock import FakeClock


def run_due(timers: Timers, now: float) -> None:
    for timer in timers.pop_due(now):
        if timer.callback is not None:
            timer.callback(*timer.args)


def test_due_timers_come_in_the_order_of_their_times() -> None:
    timers, ran = Timers(), []
    for when in (3.0, 1.0, 2.0, 5.0, 4.0):
        timers.add(when, ran.append, when)
    run_due(timers, 4.0)
    assert ran == [1.0, 2.0, 3.0, 4.0]
    assert len(timers) == 1


def test_equal_times_come_in_the_order_they_were_asked_for() -> None:
    timers, ran = Timers(), []
    for i in range(100):
        timers.add(7.0, ran.append, i)
    run_due(timers, 7.0)
    assert ran == list(range(100))


def test_what_is_not_yet_due_stays() -> None:
    timers = Timers()
    timers.add(2.0, print)
    assert timers.pop_due(1.999) == []
    assert timers.next_due() == 2.0
    assert len(timers.pop_due(2.0)) == 1
    assert timers.next_due() is None


def test_cancelled_timers_are_neither_due_nor_counted() -> None:
    timers = Timers()
    first, second = timers.add(1.0, print), timers.add(2.0, print)
    first.cancel()
    assert len(timers) == 1
    assert timers.next_due() == 2.0
    assert timers.pop_due(9.0) == [second]
    assert len(timers) == 0


def test_cancelling_twice_counts_once() -> None:
    timers = Timers()
    timer = timers.add(1.0, print)
    timers.add(1.0, print)
    timer.cancel()
    timer.cancel()
    assert len(timers) == 1


def test_cancelling_after_it_left_the_heap_changes_no_count() -> None:
    timers = Timers()
    (timer,) = (timers.add(1.0, print), timers.pop_due(1.0))[1]
    timer.cancel()
    assert timer.callback is None
    assert len(timers) == 0
    timers.add(1.0, print)
    assert len(timers) == 1


def test_a_cancelled_timer_lets_go_of_its_arguments_at_once() -> None:
    timers, held = Timers(), object()
    before = sys.getrefcount(held)
    timer = timers.add(1.0, print, held)
    timer.cancel()
    assert sys.getrefcount(held) == before


def test_a_timer_added_while_due_ones_run_waits_for_the_next_call() -> None:
    timers, ran = Timers(), []
    timers.add(1.0, lambda: timers.add(0.5, ran.append, "added"))
    run_due(timers, 1.0)
    assert ran == []
    run_due(timers, 1.0)
    assert ran == ["added"]


def test_put_back_timers_are_due_again_in_their_order_without_the_cancelled() -> None:
    timers, ran = Timers(), []
    for i in range(4):
        timers.add(1.0, ran.append, i)
    due = timers.pop_due(1.0)
    due[2].cancel()
    timers.put_back(due[1:])
    assert len(timers) == 2
    run_due(timers, 1.0)
    assert ran == [1, 3]


def test_a_timer_that_was_put_back_can_still_be_cancelled() -> None:
    timers = Timers()
    timers.add(1.0, print)
    (timer,) = timers.pop_due(1.0)
    timers.put_back([timer])
    timer.cancel()
    assert len(timers) == 0
    assert timers.next_due() is None


def test_few_cancelled_timers_are_left_where_they_are() -> None:
    timers = Timers()
    added = [timers.add(float(i), print) for i in range(64)]
    for timer in added:
        timer.cancel()
    assert len(timers._heap) == 64
    assert len(timers) == 0


def test_sweeping_starts_when_more_than_half_are_cancelled() -> None:
    timers = Timers()
    added = [timers.add(float(i), print) for i in range(200)]
    for timer in added[:100]:
        timer.cancel()
    assert len(timers._heap) == 200
    added[150].cancel()
    assert len(timers._heap) == 99
    assert len(timers) == 99


def test_a_sweep_keeps_the_others_in_order() -> None:
    timers, ran = Timers(), []
    order = list(range(500))
    random.Random(1).shuffle(order)
    added = {i: timers.add(float(i), ran.append, i) for i in order}
    for i in range(500):
        if i % 5:
            added[i].cancel()
    run_due(timers, 500.0)
    assert ran == list(range(0, 500, 5))


def test_memory_is_bounded_while_timers_are_added_and_cancelled_without_end() -> None:
    timers = Timers()
    kept = [timers.add(1e9, print) for _ in range(10)]
    largest = 0
    for i in range(200_000):
        timers.add(float(i), print).cancel()
        largest = max(largest, len(timers._heap))
    assert largest <= 2 * 64 + len(kept)
    assert len(timers) == len(kept)


def test_the_count_is_right_after_any_mix_of_operations() -> None:
    chance = random.Random(2)
    timers, alive = Timers(), []
    now = 0.0
    for _ in range(5000):
        match chance.randrange(4):
            case 0 | 1:
                alive.append(timers.add(now + chance.randrange(100), print))
            case 2 if alive:
                alive.pop(chance.randrange(len(alive))).cancel()
            case _:
                now += chance.randrange(3)
                due = timers.pop_due(now)
                assert due == sorted((t for t in alive if t.when <= now), key=lambda t: t.when)
                alive = [t for t in alive if t.when > now]
        assert len(timers) == len(alive)
        assert timers.next_due() == min((t.when for t in alive), default=None)


# --- TimeoutQueue ----------------------------------------------------------------------------


class Bench:
    """A TimeoutQueue on a heap of its own, and the clock that both go by."""

    def __init__(self, seconds: float, expired: Callable[[Any], object] | None = None) -> None:
        self.clock = FakeClock()
        self.timers = Timers()
        self.expired: list[Any] = []
        self.queue: TimeoutQueue[Any] = TimeoutQueue(
            seconds, expired or self.expired.append, self.clock, self.timers.add
        )

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        run_due(self.timers, self.clock.now)


def test_a_subject_expires_exactly_when_its_time_is_up() -> None:
    bench = Bench(10.0)
    bench.queue.start("a")
    bench.advance(9.75)
    assert bench.expired == []
    assert "a" in bench.queue
    bench.advance(0.25)
    assert bench.expired == ["a"]
    assert "a" not in bench.queue


def test_each_subject_expires_at_its_own_time_in_the_order_they_began() -> None:
    bench = Bench(10.0)
    for subject in "abc":
        bench.queue.start(subject)
        bench.advance(1.0)
    assert bench.expired == []
    for expected in (["a"], ["a", "b"], ["a", "b", "c"]):
        bench.advance(7.0 if expected == ["a"] else 1.0)
        assert bench.expired == expected


def test_starting_again_begins_the_wait_anew() -> None:
    bench = Bench(10.0)
    bench.queue.start("a")
    bench.queue.start("b")
    bench.advance(6.0)
    bench.queue.start("a")
    assert len(bench.queue) == 2
    bench.advance(4.0)
    assert bench.expired == ["b"]
    bench.advance(5.75)
    assert bench.expired == ["b"]
    bench.advance(0.25)
    assert bench.expired == ["b", "a"]


def test_a_stopped_subject_never_expires() -> None:
    bench = Bench(10.0)
    bench.queue.start("a")
    bench.queue.stop("a")
    bench.queue.stop("a")
    bench.queue.stop("never started")
    bench.advance(1000.0)
    assert bench.expired == []
    assert len(bench.timers) == 0


def test_many_subjects_own_one_heap_entry_together() -> None:
    bench = Bench(10.0)
    for i in range(10_000):
        bench.queue.start(i)
    assert len(bench.timers) == 1
    assert len(bench.queue) == 10_000


def test_starting_and_stopping_without_end_grows_nothing() -> None:
    bench = Bench(10.0)
    for i in range(50_000):
        bench.queue.start(i)
        bench.queue.start("again")
        bench.queue.stop(i)
        if not i % 100:
            bench.advance(0.5)
        assert len(bench.timers._heap) <= 1
    assert len(bench.queue) == 1
    assert bench.expired == []


def test_when_the_head_has_stopped_the_entry_moves_to_the_next_ones_time() -> None:
    bench = Bench(10.0)
    bench.queue.start("a")
    bench.advance(4.0)
    bench.queue.start("b")
    bench.queue.stop("a")
    bench.advance(6.0)
    assert bench.timers.next_due() == bench.clock.now + 4.0
    assert bench.expired == []
    bench.advance(4.0)
    assert bench.expired == ["b"]


def test_an_emptied_fifo_leaves_the_heap_and_can_start_again() -> None:
    bench = Bench(10.0)
    bench.queue.start("a")
    bench.advance(10.0)
    assert bench.timers.next_due() is None
    bench.queue.start("a")
    bench.advance(10.0)
    assert bench.expired == ["a", "a"]


def test_an_expiry_that_stops_another_spares_it() -> None:
    expired = []

    def expire(subject: str) -> None:
        expired.append(subject)
        bench.queue.stop("b")

    bench = Bench(10.0, expire)
    for subject in "abc":
        bench.queue.start(subject)
    bench.advance(10.0)
    assert expired == ["a", "c"]


def test_an_expiry_that_restarts_another_gives_it_its_whole_time() -> None:
    expired = []

    def expire(subject: str) -> None:
        expired.append(subject)
        if subject == "a":
            bench.queue.start("b")

    bench = Bench(10.0, expire)
    for subject in "abc":
        bench.queue.start(subject)
    bench.advance(10.0)
    assert expired == ["a", "c"]
    bench.advance(9.75)
    assert expired == ["a", "c"]
    bench.advance(0.25)
    assert expired == ["a", "c", "b"]


def test_a_subject_restarted_by_its_own_expiry_expires_again_one_period_later() -> None:
    expired = []

    def expire(subject: str) -> None:
        expired.append(subject)
        bench.queue.start(subject)

    bench = Bench(10.0, expire)
    bench.queue.start("a")
    for turn in range(1, 4):
        bench.advance(10.0)
        assert expired == ["a"] * turn
        assert len(bench.timers) == 1


def test_an_expiry_finds_its_subject_taken_out() -> None:
    seen = []
    bench = Bench(1.0, lambda subject: seen.append(subject in bench.queue))
    bench.queue.start("a")
    bench.advance(1.0)
    assert seen == [False]


def test_an_expiry_that_raises_does_not_withhold_the_others() -> None:
    expired = []

    def expire(subject: str) -> None:
        expired.append(subject)
        if subject == "a":
            raise RuntimeError("boom")

    bench = Bench(10.0, expire)
    for subject in "abc":
        bench.queue.start(subject)
    with pytest.raises(RuntimeError, match="boom"):
        bench.advance(10.0)
    run_due(bench.timers, bench.clock.now)
    assert expired == ["a", "b", "c"]


def test_zero_seconds_turn_the_timeout_off() -> None:
    bench = Bench(0)
    bench.queue.start("a")
    assert len(bench.queue) == 0
    assert len(bench.timers) == 0
    bench.advance(1000.0)
    assert bench.expired == []


# --- TimerWheel -----------------------------------------------------------------------


class Wheel:
    """TimerWheel on a heap of their own: who is looked at when, and until when each is put off."""

    def __init__(self, tick: float = 0.125) -> None:
        self.clock = FakeClock()
        self.timers = Timers()
        self.looks: list[tuple[float, Any]] = []
        self.due: dict[Any, float] = {}  # what a look returns, as long as it is not yet
        self.on_look: Callable[[Any], object] = lambda subject: None
        self.deadlines: TimerWheel[Any] = TimerWheel(tick, self._look, self.clock, self.timers.add)

    def _look(self, subject: Any) -> float | None:
        assert subject not in self.deadlines
        self.looks.append((self.clock.now, subject))
        self.on_look(subject)
        when = self.due.get(subject, 0.0)
        return when if when > self.clock.now else None

    def set_in(self, subject: Any, seconds: float) -> None:
        self.due[subject] = self.clock.now + seconds
        self.deadlines.set(subject, self.due[subject])

    def advance(self, seconds: float) -> None:
        """Let time pass, from one timer to the next."""
        end = self.clock.now + seconds
        while (when := self.timers.next_due()) is not None and when <= end:
            self.clock.advance(max(0.0, when - self.clock.now))
            run_due(self.timers, self.clock.now)
        self.clock.advance(end - self.clock.now)

    def looked(self) -> list[Any]:
        looked = [subject for _, subject in self.looks]
        self.looks.clear()
        return looked


def test_a_deadline_is_looked_at_when_it_comes_and_at_most_a_tick_later() -> None:
    wheel = Wheel(tick=0.125)
    chance = random.Random(3)
    for n in range(500):
        wheel.set_in(n, chance.uniform(0.0, 30.0))
    wheel.advance(31.0)
    assert sorted(subject for _, subject in wheel.looks) == list(range(500))
    for when, subject in wheel.looks:
        assert 0 <= when - wheel.due[subject] < 0.125
    assert len(wheel.deadlines) == 0


def test_one_tick_looks_in_the_order_in_which_they_were_set() -> None:
    wheel = Wheel()
    for subject in "cab":
        wheel.set_in(subject, 1.0)
    wheel.advance(1.0)
    assert wheel.looked() == ["c", "a", "b"]


def test_a_deadline_that_has_moved_later_meanwhile_is_looked_at_once_more() -> None:
    wheel = Wheel()
    wheel.set_in("a", 10.0)
    wheel.due["a"] += 7.0  # a byte came: nothing is set
    wheel.advance(16.9)
    assert wheel.looked() == ["a"]
    wheel.advance(0.1)
    assert wheel.looked() == ["a"]
    assert "a" not in wheel.deadlines


@pytest.mark.parametrize("seconds", [3.0, 30.0], ids=["earlier", "later"])
def test_setting_again_moves_the_deadline(seconds: float) -> None:
    wheel = Wheel()
    wheel.set_in("a", 10.0)
    wheel.set_in("a", 10.0)
    wheel.set_in("a", seconds)
    assert len(wheel.deadlines) == 1
    assert "a" in wheel.deadlines
    wheel.advance(seconds - 0.1)
    assert wheel.looked() == []
    wheel.advance(0.2)
    assert wheel.looked() == ["a"]
    wheel.advance(100.0)
    assert wheel.looked() == []


def test_what_was_stopped_is_never_looked_at() -> None:
    wheel = Wheel()
    wheel.set_in("a", 10.0)
    wheel.deadlines.stop("a")
    wheel.deadlines.stop("a")
    wheel.deadlines.stop("never set")
    wheel.advance(100.0)
    assert wheel.looked() == []
    assert wheel.timers.next_due() is None


def test_a_deadline_beyond_the_wheel_is_looked_at_early_and_then_in_time() -> None:
    wheel = Wheel(tick=0.125)
    wheel.set_in("a", 3 * SLOTS * 0.125 + 5.0)
    wheel.advance(3 * SLOTS * 0.125 + 4.9)
    assert wheel.looked() == ["a"] * 3
    wheel.advance(0.2)
    assert wheel.looked() == ["a"]
    wheel.set_in("for ever", float("inf"))
    wheel.advance((SLOTS + 1) * 0.125)
    assert wheel.looked() == ["for ever"]
    assert "for ever" in wheel.deadlines


def test_a_look_may_stop_and_move_others_of_the_same_tick() -> None:
    wheel = Wheel()

    def act(subject: str) -> None:
        if subject == "a":
            wheel.deadlines.stop("b")
            wheel.set_in("c", 5.0)
            wheel.set_in("e", 0.0)

    wheel.on_look = act
    for subject in "abcde":
        wheel.set_in(subject, 1.0)
    wheel.advance(1.0)
    assert wheel.looked() == ["a", "d", "e"]
    wheel.advance(5.0)
    assert wheel.looked() == ["c"]


def test_a_look_that_raises_does_not_withhold_the_others() -> None:
    wheel = Wheel()

    def act(subject: str) -> None:
        if subject == "a":
            raise RuntimeError("boom")

    wheel.on_look = act
    for subject in "abc":
        wheel.set_in(subject, 1.0)
    with pytest.raises(RuntimeError, match="boom"):
        wheel.advance(1.0)
    wheel.advance(0.0)
    assert wheel.looked() == ["a", "b", "c"]
    assert len(wheel.deadlines) == 0


def test_nineteen_thousand_that_move_all_the_time_cost_few_heap_entries_and_few_looks() -> None:
    """Each is put off every second for half a minute, by ten seconds: as contents that keep arriving are."""
    wheel = Wheel(tick=0.0625)
    chance = random.Random(4)
    for n in range(19_000):
        wheel.set_in(n, chance.uniform(9.0, 10.0))
    largest = 0
    for _ in range(30):
        for n in range(19_000):
            wheel.due[n] = wheel.clock.now + 10.0
        wheel.advance(1.0)
        largest = max(largest, len(wheel.timers._heap))
    assert largest <= SLOTS + 1
    assert len(wheel.looks) <= 19_000 * 4  # of 19,000 times 30 that they moved
    assert len(wheel.deadlines) == 19_000


# --- parse_duration ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("250ms", 0.25),
        ("1.5m", 90.0),
        ("2h", 7200.0),
        ("7", 7.0),
        ("0", 0.0),
        (".5s", 0.5),
        (" 3S ", 3.0),
        ("4MS", 0.004),
        ("87us", 87e-6),
        ("1.5US", 1.5e-6),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "s", "ms", "-1s", "+1s", "1d", "10sm", "1u", "1usm", "1e3", "1.2.3", "nan", "inf", "1 2", "\u0663s", "."],
)
def test_what_is_no_duration_is_told_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: write a number with us, ms, s, m or h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["87600.1h", "9" * 400, "9" * 5000 + "ms", "0." + "0" * 30 + "1"])
def test_a_duration_that_no_clock_can_be_told_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is too long a time: write at most 87600h"):
        parse_duration(text)
    assert parse_duration("87600h") == 10 * 365 * 86400
