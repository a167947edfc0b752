"""The outbox: who waits, for whom and for how long, and that nothing of it is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eventloop import EventLoop
from eventloop.loop import READ
from eventloop.outbox import TOGETHER, WITHIN, Outbox
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import FaultySocket
from tests.fakes.selector import FakeSelector


class Sender:
    """Writes into a log, then fails as it was told to."""

    def __init__(self, log: list[str], fail: BaseException | None = None) -> None:
        self.log = log
        self.fail = fail

    def write(self, data: str) -> None:
        self.log.append(data)
        if self.fail is not None:
            raise self.fail


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def failed() -> list[tuple[object, Exception]]:
    return []


@pytest.fixture
def outbox(clock: FakeClock, failed: list[tuple[object, Exception]]) -> Outbox:
    return Outbox(clock, lambda sender, error: failed.append((sender, error)))


def test_what_is_put_waits_for_the_end_and_leaves_in_order(outbox: Outbox, log: list[str], clock: FakeClock) -> None:
    outbox.begin(clock.now)
    for data in "abc":
        outbox.put(Sender(log), data)
    assert log == []
    outbox.end()
    assert log == ["a", "b", "c"]
    assert not outbox.waiting


def test_outside_a_turn_nobody_waits(outbox: Outbox, log: list[str], clock: FakeClock) -> None:
    outbox.put(Sender(log), "before")
    outbox.begin(clock.now)
    outbox.end()
    outbox.put(Sender(log), "behind")
    assert log == ["before", "behind"]


def test_the_first_of_many_does_not_wait_for_the_last(outbox: Outbox, log: list[str], clock: FakeClock) -> None:
    outbox.begin(clock.now)
    for _ in range(TOGETHER - 1):
        outbox.put(Sender(log), "early")
    assert log == []
    outbox.put(Sender(log), "early")
    assert log == ["early"] * TOGETHER
    outbox.put(Sender(log), "late")
    assert "late" not in log


def test_nobody_waits_for_one_slow_handler_after_another(outbox: Outbox, log: list[str], clock: FakeClock) -> None:
    outbox.begin(clock.now)
    outbox.put(Sender(log), "quick")
    for number in range(3):
        clock.advance(WITHIN * 1.1)
        outbox.put(Sender(log), f"slow {number}")
        assert log[-1] == f"slow {number}"
    outbox.put(Sender(log), "quick again")
    assert log == ["quick", "slow 0", "slow 1", "slow 2"]


def test_what_a_sender_takes_back_is_not_sent(outbox: Outbox, log: list[str], clock: FakeClock) -> None:
    one, other = Sender(log), Sender(log)
    outbox.begin(clock.now)
    outbox.put(one, "one")
    outbox.put(other, "other")
    assert outbox.take(one) == "one"
    assert outbox.take(one) is None
    outbox.end()
    assert log == ["other"]


def test_what_a_sender_takes_back_from_another_that_is_writing_is_sent_once(
    outbox: Outbox, log: list[str], clock: FakeClock
) -> None:
    last = Sender(log)

    class Taking(Sender):
        def write(self, data: str) -> None:
            super().write(data + outbox.take(last))

    outbox.begin(clock.now)
    outbox.put(Taking(log), "first and ")
    outbox.put(last, "last")
    outbox.end()
    assert log == ["first and last"]


def test_a_second_piece_of_one_sender_goes_to_it_at_once_which_sends_the_first_before(
    outbox: Outbox, log: list[str], clock: FakeClock
) -> None:
    class Orderly(Sender):
        def write(self, data: str) -> None:
            if (waiting := outbox.take(self)) is not None:
                super().write(waiting)
            super().write(data)

    sender = Orderly(log)
    outbox.begin(clock.now)
    outbox.put(sender, "first")
    outbox.put(sender, "second")
    assert log == ["first", "second"]


def test_a_sender_that_fails_is_told_of_and_costs_no_other_its_bytes(
    outbox: Outbox, log: list[str], clock: FakeClock, failed: list[tuple[object, Exception]]
) -> None:
    broken = Sender(log, RuntimeError("boom"))
    outbox.begin(clock.now)
    outbox.put(broken, "first")
    outbox.put(Sender(log), "second")
    outbox.end()
    assert log == ["first", "second"]
    assert failed == [(broken, broken.fail)]


def test_an_interrupt_loses_nothing_of_the_others(outbox: Outbox, log: list[str], clock: FakeClock) -> None:
    outbox.begin(clock.now)
    for data in "abc":
        outbox.put(Sender(log, KeyboardInterrupt() if data != "c" else None), data)
    with pytest.raises(KeyboardInterrupt):
        outbox.end()
    assert log == ["a", "b", "c"]
    assert not outbox.waiting


# --- on a loop ---------------------------------------------------------------------------


class Handler:
    """Puts its name into the loop's outbox when it is told to read, then does what it was given to do."""

    def __init__(self, name: str, loop: EventLoop, log: list[str], act: Callable[[], object] = lambda: None) -> None:
        self.name, self.loop, self.log, self.act = name, loop, log, act

    def on_readable(self) -> None:
        self.log.append(f"{self.name} read")
        self.loop.outbox.put(Sender(self.log), f"{self.name} sent")
        self.act()

    def on_writable(self) -> None:
        """Never asked for."""


def ready(loop: EventLoop, selector: FakeSelector, handler: Handler) -> None:
    sock = FaultySocket()
    loop.register(sock, READ, handler)
    selector.ready(sock, READ)


def test_it_leaves_between_the_events_and_the_timers(loop: EventLoop, selector: FakeSelector, log: list[str]) -> None:
    for name in "ab":
        ready(loop, selector, Handler(name, loop, log))
    loop.call_later(0, log.append, "timer")
    loop.call_soon(lambda: loop.outbox.put(Sender(log), "put by a callback"))
    loop.run_once()
    assert log == ["a read", "b read", "a sent", "b sent", "timer", "put by a callback"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_among_the_events_does_not_keep_it(
    loop: EventLoop, selector: FakeSelector, log: list[str], error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error

    ready(loop, selector, Handler("a", loop, log, fail))
    with pytest.raises(error):
        loop.run_once()
    assert log == ["a read", "a sent"]


def test_a_sender_that_fails_is_an_error_of_the_loop(loop: EventLoop, selector: FakeSelector, log: list[str]) -> None:
    failures: list[tuple[Any, Exception]] = []
    loop.on_error = lambda source, error: failures.append((source, error))
    broken = Sender(log, RuntimeError("boom"))
    ready(loop, selector, Handler("a", loop, log, lambda: loop.outbox.put(broken, "broken")))
    loop.run_once()
    assert log == ["a read", "a sent", "broken"]
    assert failures == [(broken, broken.fail)]


def test_a_closed_loop_keeps_nobody(clock: FakeClock, selector: FakeSelector, log: list[str]) -> None:
    loop = EventLoop(selector, clock, wakeup_pair=lambda: (FaultySocket(), FaultySocket()))
    loop.outbox.begin(clock.now)
    loop.outbox.put(Sender(log), "too late")
    loop.close()
    assert not loop.outbox.waiting
