"""Which descriptors are ready? What the test says.

`FakeSelector` is a whole `selectors.BaseSelector`, so that a loop on it never sleeps:

    clock = FakeClock()
    selector = FakeSelector(clock)
    loop = EventLoop(selector, clock)
    selector.ready(sock, READ)        # what the next select reports, in this order
    loop.run_once()

Rules:

* A select with nothing scripted "sleeps": it advances the clock by the timeout, if it was
  given one. Without a timeout nothing would ever wake it, and it says so (`SleepsForEver`).
* Like the real ones it reports only what is registered, and only the events asked for. What it
  reports is settled before the first handler runs: that is how events become stale.
* Like epoll it forgets a closed descriptor's number only when told to, and refuses to register
  one number twice.

Not here: real descriptors. Tests of real readiness use the real selector.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.clock import FakeClock


class SleepsForEver(AssertionError):
    """`select` was called without a timeout, and nothing is scripted to end it."""


def number_of(fileobj: Any) -> int:
    number: int = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    if number < 0:
        raise ValueError(f"{fileobj!r} has no descriptor")
    return number


class _Registered(Mapping[Any, selectors.SelectorKey]):
    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[number_of(fileobj)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class FakeSelector(selectors.BaseSelector):
    """Scripted readiness. `timeouts` lists what every select was given; `closed` tells the end."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock
        self.timeouts: list[float | None] = []
        self.closed = False
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._scripted: list[tuple[int, int]] = []

    # --- the script ----------------------------------------------------------------

    def ready(self, fileobj: Any, events: int) -> None:
        """The next select reports this too; ignored then if it is not registered by then."""
        self._scripted.append((number_of(fileobj), events))

    def interest(self, fileobj: Any) -> int:
        """What `fileobj` is registered for; 0 if it is not."""
        key = self._keys.get(number_of(fileobj))
        return key.events if key is not None else 0

    # --- selectors.BaseSelector ----------------------------------------------------

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"invalid events: {events!r}")
        number = number_of(fileobj)
        if number in self._keys:
            raise KeyError(f"{fileobj!r} (descriptor {number}) is already registered")
        key = self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(number_of(fileobj))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.timeouts.append(timeout)
        scripted, self._scripted = self._scripted, []
        batch = []
        for number, events in scripted:
            key = self._keys.get(number)
            if key is not None and events & key.events:
                batch.append((key, events & key.events))
        if not batch:
            if timeout is None:
                raise SleepsForEver("nothing is scripted, and no timer would end this select")
            if self.clock is not None and timeout > 0:
                self.clock.advance(timeout)
        return batch

    def close(self) -> None:
        self._keys.clear()
        self.closed = True

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return _Registered(self._keys)
