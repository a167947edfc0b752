"""Is a message that takes too long found out in time, and what does it cost to watch nineteen thousand?

Without sockets; what the peer is told is test_message's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from eventloop import EventLoop
from eventloop.timers import SLOTS
from libserver import CloseReason, ServerLimits
from libserver.limits import RATE_GRACE, RATE_WINDOW
from libserver.receive_timeouts import LEAST_TICK, MOST_TICK, ReceiveTimeouts
from tests.fakes.clock import FakeClock

HEADER, CONTENT, SLOW = CloseReason.HEADER_TIMEOUT, CloseReason.CONTENT_TIMEOUT, CloseReason.SLOW


class Counted(ReceiveTimeouts[Any]):
    """Counts what is done at the time a message may be overdue."""

    looks = 0

    def _look(self, connection: Any) -> float | None:
        self.looks += 1
        return super()._look(connection)


class Watch:
    """ReceiveTimeouts on a loop that nothing ever happens on, and who was overdue when."""

    def __init__(self, **limits: Any) -> None:
        self.clock = FakeClock()
        self.loop = EventLoop(clock=self.clock)
        self.overdue: list[tuple[float, Any, CloseReason]] = []
        self.timeouts = Counted(ServerLimits(**limits), self.loop, self._overdue)
        self.start = self.clock.now

    def _overdue(self, connection: Any, reason: CloseReason) -> None:
        self.overdue.append((self.clock.now - self.start, connection, reason))

    @property
    def heap(self) -> int:
        return len(self.loop._timers._heap)

    def until(self, seconds: float) -> None:
        """Let time pass up to so many seconds after the start, from one timer to the next."""
        end = self.start + seconds
        while (when := self.loop._timers.next_due()) is not None and when <= end:
            self.clock.now = max(when, self.clock.now)
            self.loop.run_once(0)
        self.clock.now = end

    def ends(self, connection: Any, seconds: float, reason: CloseReason) -> None:
        """It is overdue then, or so little later as may be."""
        tick = self.timeouts._deadlines.tick
        self.until(seconds - 0.001)
        assert self.overdue == []
        self.until(seconds + tick)
        ((when, who, why),) = self.overdue
        assert (who, why) == (connection, reason)
        assert seconds <= when <= seconds + tick
        assert len(self.timeouts) == 0
        self.until(seconds + 10_000.0)
        assert len(self.overdue) == 1


@pytest.fixture
def watches() -> Iterator[Any]:
    made: list[Watch] = []

    def make(**limits: Any) -> Watch:
        made.append(Watch(**limits))
        return made[-1]

    yield make
    for watch in made:
        watch.loop.close()


def test_a_first_header_has_its_time_from_accept_and_no_rate_before_its_first_byte(watches: Any) -> None:
    watch = watches(header_timeout=20.0)
    watch.timeouts.expect("a")
    watch.ends("a", 20.0, HEADER)


def test_the_first_byte_begins_the_rate_but_not_the_header_anew(watches: Any) -> None:
    watch = watches(header_timeout=20.0, min_data_rate=100)
    watch.timeouts.expect("a")
    watch.until(7.0)
    watch.timeouts.note("a", 1, 0, True)
    watch.ends("a", 7.0 + RATE_GRACE, SLOW)


def test_a_large_header_at_a_good_rate_has_its_time_and_no_more(watches: Any) -> None:
    watch = watches(header_timeout=20.0, min_data_rate=100)
    watch.timeouts.expect("a")
    for n in range(1, 20):
        watch.until(n)
        watch.timeouts.note("a", n * 1000, 0, True)
    watch.ends("a", 20.0, HEADER)


def test_a_content_has_its_time_from_its_last_byte(watches: Any) -> None:
    watch = watches(content_timeout=30.0, min_data_rate=0)
    watch.timeouts.note("a", 10, 100, True)
    watch.until(29.0)
    watch.timeouts.note("a", 11, 0, True)
    watch.until(58.0)
    watch.timeouts.note("a", 11, 0, True)  # nothing new
    watch.ends("a", 59.0, CONTENT)


def test_a_content_may_have_less_time_than_its_header_had_left(watches: Any) -> None:
    watch = watches(header_timeout=100.0, content_timeout=10.0, min_data_rate=0)
    watch.timeouts.note("a", 10, 0, True)
    watch.until(5.0)
    watch.timeouts.note("a", 0, 100, True)
    watch.ends("a", 15.0, CONTENT)


def test_the_header_counts_for_the_rate_of_the_whole_message(watches: Any) -> None:
    watch = watches(min_data_rate=100)
    watch.timeouts.note("a", 500, 0, True)
    watch.until(4.0)
    watch.timeouts.note("a", 200, 1000, True)  # 1200 bytes: enough for twelve seconds
    watch.ends("a", 12.0, SLOW)


def test_what_was_sent_at_once_buys_a_trickler_two_windows_and_no_more(watches: Any) -> None:
    watch = watches(min_data_rate=240)
    watch.timeouts.note("a", 8_500_000, 100, True)  # ten hours, on average
    for minute in range(1, 600):
        watch.until(minute * 50.0)
        if watch.overdue:
            break
        watch.timeouts.note("a", 8_500_000 + minute, 0, True)
    ((when, who, why),) = watch.overdue
    assert (who, why) == ("a", SLOW)
    assert RATE_WINDOW < when <= 2 * RATE_WINDOW + watch.timeouts._deadlines.tick


@pytest.mark.parametrize("every", [0.5, 4.0, 10.0])
def test_a_steady_sender_above_the_rate_is_never_too_slow_and_one_below_it_soon_is(watches: Any, every: float) -> None:
    for rate, ends in ((300, False), (200, True)):
        watch = watches(min_data_rate=240)
        received = 5000 if every > RATE_GRACE else 300
        watch.timeouts.note("a", received * 4, 100, True)
        for step in range(1, round(1000 / every)):
            watch.until(step * every)
            if watch.overdue:
                break
            watch.timeouts.note("a", received * 4 + round(step * every * rate), 0, True)
        assert bool(watch.overdue) is ends
        assert not ends or watch.overdue[0][0] <= 4 * RATE_WINDOW


def test_one_that_stops_for_less_than_the_contents_timeout_after_much_is_not_too_slow(watches: Any) -> None:
    watch = watches(min_data_rate=240, content_timeout=60.0)
    received = 0
    for step in range(60):
        watch.until(step * 59.0)
        received += 1_000_000
        watch.timeouts.note("a", received, 100, True)
    assert watch.overdue == []


def test_the_window_stands_still_while_we_do_not_read(watches: Any) -> None:
    watch = watches(min_data_rate=240, content_timeout=0)
    watch.timeouts.note("a", 1_000_000, 100, True)
    watch.until(30.0)
    watch.timeouts.note("a", 1_000_001, 0, False)
    watch.until(1030.0)
    watch.timeouts.note("a", 1_000_001, 0, True)
    watch.ends("a", 1000.0 + 2 * RATE_WINDOW, SLOW)


@pytest.mark.parametrize("began", [True, False], ids=["inside a message", "before the first byte"])
def test_a_pause_moves_every_deadline_by_its_length(watches: Any, began: bool) -> None:
    watch = watches(header_timeout=10.0, min_data_rate=0)
    watch.timeouts.expect("a")
    if began:
        watch.timeouts.note("a", 1, 0, True)
    for n in range(3):  # 2 seconds of reading, 1000 of not reading
        watch.until(n * 1002 + 2)
        watch.timeouts.hold("a")
        watch.timeouts.hold("a")
        watch.until(n * 1002 + 1002)
        assert len(watch.timeouts) == 1
        watch.timeouts.note("a", 1, 0, True)
    watch.ends("a", 3000.0 + 10.0, HEADER)


def test_what_is_found_out_during_a_pause_counts_from_the_pauses_beginning(watches: Any) -> None:
    """The header was here, and was read on in a pause: the content's time is whole when reading goes on."""
    watch = watches(content_timeout=10.0, min_data_rate=0)
    watch.timeouts.note("a", 1, 0, False)
    watch.until(100.0)
    watch.timeouts.note("a", 0, 100, False)
    watch.until(200.0)
    watch.timeouts.note("a", 0, 0, True)
    watch.ends("a", 210.0, CONTENT)


def test_the_rate_counts_no_pause(watches: Any) -> None:
    watch = watches(header_timeout=0, min_data_rate=100)
    watch.timeouts.note("a", 1000, 0, True)
    watch.until(4.0)
    watch.timeouts.hold("a")
    watch.until(104.0)
    watch.timeouts.note("a", 1000, 0, True)
    watch.ends("a", 110.0, SLOW)


def test_the_part_whose_time_runs_can_be_asked_for(watches: Any) -> None:
    watch = watches()
    assert watch.timeouts.part("a") is None
    watch.timeouts.expect("a")
    assert watch.timeouts.part("a") == "header"
    watch.timeouts.note("a", 1, 100, True)
    assert watch.timeouts.part("a") == "content"
    watch.timeouts.hold("a")
    assert watch.timeouts.part("a") is None
    watch.timeouts.note("a", 1, 0, True)
    assert watch.timeouts.part("a") == "content"
    watch.timeouts.stop("a")
    assert watch.timeouts.part("a") is None


def test_who_has_stopped_is_never_overdue_and_nothing_is_left(watches: Any) -> None:
    watch = watches()
    for connection in "abc":
        watch.timeouts.expect(connection)
    watch.timeouts.hold("b")
    watch.timeouts.hold("never expected")
    for connection in "abcd":
        watch.timeouts.stop(connection)
    assert len(watch.timeouts) == len(watch.timeouts._deadlines) == 0
    watch.until(1000.0)
    assert watch.overdue == []


def test_with_every_limit_off_nothing_is_ever_looked_at(watches: Any) -> None:
    watch = watches(header_timeout=0, content_timeout=0, min_data_rate=0)
    watch.timeouts.expect("a")
    watch.timeouts.note("a", 1, 0, True)
    watch.timeouts.note("a", 1, 100, True)
    watch.until(1_000_000.0)
    assert (watch.overdue, watch.timeouts.looks, watch.heap) == ([], 0, 0)


def test_a_part_without_a_limit_is_not_looked_at_again(watches: Any) -> None:
    watch = watches(header_timeout=10.0, content_timeout=0, min_data_rate=0)
    watch.timeouts.note("a", 1, 0, True)
    watch.timeouts.note("a", 1, 100, True)
    watch.until(1_000_000.0)
    assert (watch.overdue, watch.timeouts.looks) == ([], 1)


@pytest.mark.parametrize(
    ("shortest", "tick"), [(10.0, MOST_TICK), (1.0, 1 / 16), (0.5, 1 / 32), (0.1, 1 / 256), (0.001, LEAST_TICK)]
)
def test_short_limits_are_kept_more_exactly(watches: Any, shortest: float, tick: float) -> None:
    watch = watches(header_timeout=shortest)
    assert watch.timeouts._deadlines.tick == tick
    watch.timeouts.expect("a")
    watch.ends("a", shortest, HEADER)


def test_nineteen_thousand_contents_that_trickle_cost_few_looks_and_no_heap_entries_of_their_own(watches: Any) -> None:
    """Half a minute in which every content gets a byte every two seconds, and is looked at about once."""
    watch = watches(min_data_rate=0)
    chance = random.Random(5)
    everybody = range(19_000)
    for n in everybody:
        watch.timeouts.note(n, 1, 100, True)
    for second in range(2, 31, 2):
        watch.until(second)
        for n in everybody:
            watch.timeouts.note(n, second, 0, True)
        assert watch.heap <= SLOTS + 1
    assert watch.timeouts.looks <= 2 * 19_000
    dropped = set(chance.sample(everybody, 9_000))
    for n in dropped:
        watch.timeouts.stop(n)
    watch.until(30.0 + 60.0 + MOST_TICK)
    assert {who for _, who, _ in watch.overdue} == set(everybody) - dropped
    assert min(when for when, _, _ in watch.overdue) >= 90.0
    assert watch.timeouts.looks <= 7 * 19_000  # of fifteen times as many bytes
