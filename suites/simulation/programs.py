"""How do several programs share one process, so that each runs as it was written?

A program has descriptors, a selector and a loop of its own. When it would wait, somebody else runs.
Three kinds, for three ways to wait:

* `Serving`: it is called once, waits deep inside, and the world runs from in there (the server).
* `Turning`: the world turns its loop whenever it has something to do. Its `select` never waits: it
  writes down until when it would have, and the turn ends without anything having happened.
* `Blocking`: it calls functions that block. It runs in a thread, and exactly one thread runs at any
  time: who waits hands over, so the order is the world's, not the system's.

Not here: which of them is next (`world`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from eventloop import Endpoint, EventLoop
from libserver.slowness import SLOW

from .kernel import Kernel
from .selector import Ready, SimSelector

__all__ = ["Blocking", "Over", "Program", "Serving", "Turning"]


class Over(BaseException):
    """The world ends while a program waits. No `Exception`: no program of ours is to catch it."""


class Program:
    """`deadline` is when it wants to run even if nothing happens; `interrupted` is whether it was stopped meanwhile.

    `limit`: descriptors that it may have.
    """

    def __init__(self, kernel: Kernel, name: str, seed: int, limit: int = 1024, **of_the_loop: Any) -> None:
        self.kernel = kernel
        self.name = name
        self.process = kernel.start_process(name, limit)
        self.deadline = math.inf
        self.interrupted = False
        self.luck = Random(f"luck of {name} {seed}")
        self.selector = SimSelector(kernel, self.process, self._wait)
        pair = partial(kernel.pair, self.process)
        self.loop = EventLoop(self.selector, kernel.clock, wakeup_pair=pair, **of_the_loop)

    def _wait(self, selector: SimSelector, timeout: float | None) -> Ready:
        raise NotImplementedError

    def _due(self, timeout: float | None) -> float:
        return math.inf if timeout is None else self.kernel.clock.now + timeout

    def wakes_blind(self, deadline: float) -> bool:
        """Its sleep until then was interrupted, and the time is up: it comes back without having looked (PEP 475)."""
        interrupted, self.interrupted = self.interrupted, False
        return interrupted and deadline <= self.kernel.clock.now

    @property
    def wants_to_run(self) -> bool:
        return self.deadline <= self.kernel.clock.now or self.selector.is_ready()

    def open_socket(self, endpoint: Endpoint) -> Any:
        return self.kernel.socket(self.process, self.luck)


class Serving(Program):
    """The server: `wait` is the world's own; `on_error` and `on_slow` are its loop's."""

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        seed: int,
        wait: Callable[[float | None], Ready],
        limit: int,
        *,
        on_error: Callable[[object, Exception], None],
        on_slow: Callable[[float], None],
    ) -> None:
        self._world_waits = wait
        super().__init__(kernel, name, seed, limit, on_error=on_error, on_slow=on_slow, slow=SLOW)

    def _wait(self, selector: SimSelector, timeout: float | None) -> Ready:
        return self._world_waits(timeout)


class Turning(Program):
    """Turned by the world."""

    def _wait(self, selector: SimSelector, timeout: float | None) -> Ready:
        slept_until, self.deadline = self.deadline, self._due(timeout)
        return [] if self.wakes_blind(slept_until) else selector.poll()

    def poke(self) -> None:
        """Something was asked of it from outside its loop."""
        self.deadline = self.kernel.clock.now

    def turn(self) -> None:
        if self.loop.run_once():
            self.deadline = self.kernel.clock.now  # what it did may have given it more to do

    def close(self) -> None:
        self.loop.close()
        self.deadline = math.inf


class Blocking(Program):
    """A thread that runs only between `turn` and its next wait. Subclasses say what it does in `body`."""

    def __init__(self, kernel: Kernel, name: str, seed: int) -> None:
        super().__init__(kernel, name, seed)
        self.over = False
        self.escaped: BaseException | None = None
        self._mine = threading.Semaphore(0)
        self._worlds = threading.Semaphore(0)
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = False
        self._sleeping = False

    def start(self) -> None:
        if not self.over:
            self.deadline = self.kernel.clock.now

    @property
    def wants_to_run(self) -> bool:
        if not self._started or self._sleeping:
            return self.deadline <= self.kernel.clock.now
        return super().wants_to_run

    def turn(self) -> None:
        """Let it run until it waits, or ends."""
        if not self._started:
            self._started = True
            self._thread.start()
        else:
            self._mine.release()
        self._worlds.acquire()

    def _run(self) -> None:
        try:
            self.body()
        except Over:
            pass
        except BaseException as error:
            self.escaped = error
        finally:
            self.loop.close()
            self.over = True
            self.deadline = math.inf
            self._worlds.release()

    def body(self) -> None:
        raise NotImplementedError

    def _hand_over(self) -> None:
        self._worlds.release()
        self._mine.acquire()
        if self._cancelled:
            raise Over

    def _wait(self, selector: SimSelector, timeout: float | None) -> Ready:
        self.deadline = self._due(timeout)
        if timeout != 0:
            self._hand_over()
            if self.wakes_blind(self.deadline):
                return []
        return selector.poll()

    def sleep(self, seconds: float) -> None:
        self._sleeping = True
        self.deadline = self.kernel.clock.now + seconds
        self._hand_over()
        self._sleeping = False

    def close(self) -> None:
        """The world is over: wherever it waits, it ends there."""
        if self.over:
            return
        if not self._started:
            self.over = True
            self.loop.close()
            return
        self._cancelled = True
        self.turn()
        self._thread.join()
