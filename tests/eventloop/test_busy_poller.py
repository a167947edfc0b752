"""The loop asks again before it sleeps while that pays, and not while it does not."""

from __future__ import annotations

import selectors
from typing import Any

import pytest

from eventloop import EventLoop
from eventloop.busy_poller import MAX_CREDIT, REST, BusyPoller
from tests.fakes.faulty_socket import FaultySocket
from tests.fakes.selector import FakeSelector

SOMETHING: list[Any] = [("key", selectors.EVENT_READ)]


class Scripted:
    """A selector that has something ready at the `nth` of its polls, or only when slept on (None)."""

    def __init__(self) -> None:
        self.nth: int | None = None
        self.timeouts: list[float | None] = []
        self.polls = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.timeouts.append(timeout)
        if timeout != 0:
            return SOMETHING
        self.polls += 1
        return SOMETHING if self.polls == self.nth else []

    def turn(self, spinning: BusyPoller, timeout: float | None = None) -> list[float | None]:
        """What one select made of itself."""
        self.timeouts, self.polls = [], 0
        spinning.select(timeout)
        return self.timeouts


@pytest.fixture
def selector() -> Scripted:
    return Scripted()


def spinning(selector: Any, polls: int = 5) -> BusyPoller:
    return BusyPoller(selector, polls)


def test_without_polls_it_is_select(selector):
    assert selector.turn(spinning(selector, 0), 2.5) == [2.5]


def test_asked_not_to_wait_it_asks_once(selector):
    assert selector.turn(spinning(selector), 0) == [0]


def test_what_is_ready_is_taken_at_the_first_poll(selector):
    selector.nth = 1
    assert selector.turn(spinning(selector), None) == [0]


def test_what_comes_while_spinning_ends_it(selector):
    selector.nth = 3
    assert selector.turn(spinning(selector), 7.0) == [0, 0, 0]


def test_after_a_spin_for_nothing_it_sleeps_as_long_as_was_asked(selector):
    assert selector.turn(spinning(selector), 7.0) == [0] * 6 + [7.0]


def test_a_spin_that_does_not_pay_is_given_up_and_tried_again_now_and_then(selector):
    spin = spinning(selector)
    for _ in range(MAX_CREDIT):
        assert len(selector.turn(spin)) == 7
    for _ in range(REST):
        assert selector.turn(spin) == [None]
    assert len(selector.turn(spin)) == 7  # has it become better?
    for _ in range(REST):
        assert selector.turn(spin) == [None]  # no


def test_a_probe_that_pays_brings_it_back(selector):
    spin = spinning(selector)
    for _ in range(MAX_CREDIT + REST):
        selector.turn(spin)
    selector.nth = 4
    assert selector.turn(spin) == [0] * 4
    selector.nth = None
    assert len(selector.turn(spin)) == 7
    assert len(selector.turn(spin)) == 7  # two were won, of which both are lost again
    assert selector.turn(spin) == [None]


def test_being_busy_counts_neither_way(selector):
    spin = spinning(selector)
    for _ in range(MAX_CREDIT - 1):
        selector.turn(spin)
    selector.nth = 1
    for _ in range(3 * MAX_CREDIT):
        selector.turn(spin)
    selector.nth = None
    assert len(selector.turn(spin)) == 7
    assert selector.turn(spin) == [None]


def test_no_more_is_won_than_can_be_lost_in_a_row(selector):
    spin = spinning(selector)
    selector.nth = 2
    for _ in range(5 * MAX_CREDIT):
        selector.turn(spin)
    selector.nth = None
    for _ in range(MAX_CREDIT):
        assert len(selector.turn(spin)) == 7
    assert selector.turn(spin) == [None]


def test_a_loop_spins_only_if_told_to(clock):
    for spin, selects in ((0, [1.0]), (3, [0, 0, 0, 0, 1.0])):
        selector = FakeSelector(clock)
        loop = EventLoop(selector, clock, wakeup_pair=lambda: (FaultySocket(), FaultySocket()), spin=spin)
        loop.run_once(1.0)
        assert selector.timeouts == selects
        loop.close()
