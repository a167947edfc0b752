"""A loop whose time and readiness the test makes, and one on the real selector."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventloop import EventLoop
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import FaultySocket
from tests.fakes.selector import FakeSelector


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def selector(clock: FakeClock) -> FakeSelector:
    return FakeSelector(clock)


@pytest.fixture
def loop(selector: FakeSelector, clock: FakeClock) -> Iterator[EventLoop]:
    loop = EventLoop(selector, clock, wakeup_pair=lambda: (FaultySocket(), FaultySocket()))
    yield loop
    loop.close()


@pytest.fixture
def real_loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()
