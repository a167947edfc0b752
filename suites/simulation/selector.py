"""Which descriptors are ready, and when does `select` return?

`SimSelector` is a whole `selectors.BaseSelector` that answers as `EpollSelector` does: level-triggered;
HUP and ERR wake whatever was asked for, even nothing; a closed descriptor is forgotten by the kernel
and remembered by the selector's map.

Rules:

* A socket says when it may have become ready (`hot`, epoll's ready list); who is hot is asked.
* Who waits gives the turn away: `wait(selector, timeout)` is the world's, which comes back when
  something is ready or the time is up. Timeouts are rounded up to milliseconds, as epoll's are.
* The order of what is reported is the kernel's affair, so it is drawn by lot.
* A stream may be reported although nothing has happened (`injected` counts that), or in the next turn.
  Not a socket that is still connecting: its SO_ERROR would be believed, and the kernel keeps that word.

Not here: whose turn it is (`world`).
"""

from __future__ import annotations

import math
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from .kernel import Kernel
from .process import Process
from .sockets import CONNECTED, ERR, HUP, IN, OUT

__all__ = ["SimSelector"]

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

Ready = list[tuple[selectors.SelectorKey, int]]
Wait = Callable[["SimSelector", float | None], Ready]


def _number(fileobj: Any) -> int:
    number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    if number < 0:
        raise ValueError(f"Invalid file descriptor: {number}")
    return int(number)


class _Map(Mapping[Any, selectors.SelectorKey]):
    def __init__(self, selector: SimSelector) -> None:
        self._selector = selector

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.keys[self._selector.lookup(fileobj)]

    def __len__(self) -> int:
        return len(self._selector.keys)

    def __iter__(self) -> Any:
        return iter(self._selector.keys)


class SimSelector(selectors.BaseSelector):
    """`injected` is whether the last readiness it gave was partly made up, `withheld` whether a part is told later."""

    def __init__(self, kernel: Kernel, process: Process, wait: Wait) -> None:
        self.kernel = kernel
        self.process = process
        self.keys: dict[int, selectors.SelectorKey] = {}
        self.hot: dict[int, None] = {}
        self.injected = self.withheld = False
        self.closed = False
        self._files: dict[int, Any] = {}
        self._wait = wait
        self._map = _Map(self)

    # --- registering ---------------------------------------------------------------------

    def lookup(self, fileobj: Any) -> int:
        """Its number; of one that is closed by now, the number it was registered with."""
        try:
            return _number(fileobj)
        except ValueError:
            for key in self.keys.values():
                if key.fileobj is fileobj:
                    return key.fd
            raise

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if not events or events & ~(READ | WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        number = self.lookup(fileobj)
        if number in self.keys:
            raise KeyError(f"{fileobj!r} (FD {number}) is already registered")
        file = self.process.files.get(number)
        if file is None:
            raise OSError(9, "Bad file descriptor")
        key = self.keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        self._files[number] = file
        file.watchers.append((self, number))
        self.hot[number] = None
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        number = self.lookup(fileobj)
        if number not in self.keys:
            raise KeyError(f"{fileobj!r} is not registered")
        key = self.keys.pop(number)
        file = self._files.pop(number)
        self.hot.pop(number, None)
        if (self, number) in file.watchers:
            file.watchers.remove((self, number))
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = self.lookup(fileobj)
        if number not in self.keys:
            raise KeyError(f"{fileobj!r} is not registered")
        if self._files[number].closed:
            del self.keys[number]
            del self._files[number]
            raise OSError(2, "No such file or directory")  # epoll_ctl: ENOENT
        key = self.keys[number] = self.keys[number]._replace(events=events, data=data)
        self.hot[number] = None
        return key

    # --- selecting -----------------------------------------------------------------------

    def select(self, timeout: float | None = None) -> Ready:
        if timeout is not None:
            timeout = math.ceil(timeout * 1000) / 1000 if timeout > 0 else 0.0
        return self._wait(self, timeout)

    def is_ready(self) -> bool:
        """Would `poll` find something?"""
        for number in list(self.hot):
            if self._events(number) is not None:
                return True
            del self.hot[number]
        return False

    def _events(self, number: int) -> int | None:
        """What would be reported of it; None: nothing, not even a wake-up."""
        file = self._files.get(number)
        if file is None or file.closed:
            return None
        asked = self.keys[number].events
        bits = file.poll()
        wanted = (IN if asked & READ else 0) | (OUT if asked & WRITE else 0) | ERR | HUP
        bits &= wanted
        if not bits:
            return None
        events = (WRITE if bits & ~IN else 0) | (READ if bits & ~OUT else 0)
        return events & asked

    def poll(self) -> Ready:
        """What is ready now, in any order, with what the kernel makes up or tells later."""
        self.injected = self.withheld = False
        ready: Ready = []
        for number in list(self.hot):
            events = self._events(number)
            if events is None:
                del self.hot[number]
            else:
                ready.append((self.keys[number], events))
        faults = self.kernel.faults
        if len(ready) > 1:
            ready.sort(key=lambda pair: pair[0].fd)
            faults.random.shuffle(ready)
            if faults.hit("select: readiness told later"):
                told = faults.random.randint(1, len(ready))
                self.withheld = told < len(ready)
                del ready[told:]
        if faults.hit("select: spurious readiness"):
            self._make_one_up(ready)
        return ready

    def _make_one_up(self, ready: Ready) -> None:
        told = {key.fd for key, _ in ready}
        number = self.kernel.faults.random.choice(sorted(self.keys)) if self.keys else -1
        file = self._files.get(number)
        if number in told or file is None or file.closed or file.state is not CONNECTED:
            return
        self.injected = True
        ready.append((self.keys[number], self.keys[number].events))
        self.kernel.trace.note(file, "is reported without being ready")

    def close(self) -> None:
        for number in list(self.keys):
            self.unregister(number)
        self.closed = True

    def get_map(self) -> Any:
        return None if self.closed else self._map
