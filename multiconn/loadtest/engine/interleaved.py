"""How are two servers loaded so that only they can make the difference?

A machine drifts: it heats up, a neighbour wakes, a cache fills. Two runs one after the other differ by
that alone, often by more than the servers do. So the run visits both targets in turns, in blocks of
a fraction of a second, and each block has a neighbour of the other target.

    pair      1    2    3    4            a coin decides between abba and baab,
    order     a b  b a  b a  a b          so that neither drift nor rhythm favours a side

Rules:

* The load is the same: one configuration, one seed, one schedule (`schedule_sha256`). An open run's
  schedule stands still while the other target is visited.
* Connections stay. They are idle meanwhile; what the server closes is replaced in the next visit.
* Nothing is in flight when the turn goes over: a visit ends with the last reply, or its timeout.
* The first fifth of a block, on average, is not measured: there all connections start at once, and may go on in
  step. How long it is a die decides, for each pair: a window that always begins at the same beat would round the number
  of beats in it always to the same side.
* A signal ends both.

Not here: a visit (`engine.runner`), the statistics (`judge.bootstrap`), the command.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from eventloop import Address, Endpoint

from ..config import Config
from ..judge.compare import Slice, slice_of
from ..measure.intervals import OVER, Interval
from ..outcome import Outcome
from ..sink import Plan, Sink
from .runner import Runner

__all__ = ["SETTLING", "InterleavedRun", "order_of", "settling_of"]

#: The share of a block that is not measured.
SETTLING = 0.2


def order_of(pairs: int, chance: random.Random) -> str:
    """The order of the visits: abba or baab for every two pairs."""
    return "".join(chance.choice(("abba", "baab")) for _ in range((pairs + 1) // 2))[: 2 * pairs]


def settling_of(pairs: int, chance: random.Random) -> list[float]:
    """What share of its block each pair does not measure: around `SETTLING`, which is their exact mean."""
    shares = []
    for _ in range((pairs + 1) // 2):
        share = chance.uniform(0.25, 1.75) * SETTLING
        shares += [share, 2 * SETTLING - share]
    return [*shares[:-2], SETTLING] if pairs % 2 else shares


class _KeptSlices:
    """A `Sink` that keeps what a comparison needs."""

    def __init__(self) -> None:
        self.slices: list[Slice] = []

    def begin(self, plan: Plan) -> None:
        """Nothing to keep yet."""

    def interval(self, interval: Interval) -> None:
        self.slices.append(slice_of(interval))

    def end(self, outcome: Outcome) -> None:
        """All is kept."""


#: Is called after each pair.
OnPair = Callable[[int, dict[str, list[Slice]]], object]


class InterleavedRun:
    """Two runs that take turns, in `pairs` pairs of blocks of `block` seconds. Raises `ValueError` as `Runner` does.

    `order` is how it was done, `slices` are the intervals of each run, by "a" and "b". `on_pair` is called
    after each pair with its number (from 1) and the slices so far.
    """

    def __init__(
        self,
        config: Config,
        targets: dict[str, tuple[Address, Sequence[Endpoint]]],
        sinks: dict[str, list[Sink]],
        block: float,
        pairs: int,
        on_pair: OnPair = lambda pair, slices: None,
    ) -> None:
        self.block = block
        self.pairs = pairs
        self.order = ""
        self._config = config
        self._on_pair = on_pair
        self._kept = {side: _KeptSlices() for side in targets}
        self._runners = {
            side: Runner(config, address, endpoints, [*sinks[side], self._kept[side]], cores=0)  # more are no way out
            for side, (address, endpoints) in targets.items()
        }
        self._current: Runner | None = None
        self._interrupted: int | None = None

    @property
    def slices(self) -> dict[str, list[Slice]]:
        return {side: kept.slices for side, kept in self._kept.items()}

    def interrupt(self, number: int) -> None:
        """Signal `number` came: end both. Safe in a signal handler."""
        self._interrupted = number
        if self._current is not None:
            self._current.interrupt(number)

    def run(self) -> dict[str, Outcome]:
        """Both runs to their end. Raises `AccountingError`, and what a signal handler raises."""
        try:
            for runner in self._runners.values():
                self._turn(runner, runner.connect)
            if not self._ended():
                self._take_turns()
            whole = len(self.order) == 2 * self.pairs
            return {
                side: runner.leave(whole=whole, interrupted=self._interrupted) for side, runner in self._runners.items()
            }
        finally:
            for runner in self._runners.values():
                runner.close()

    def _take_turns(self) -> None:
        chance = random.Random(f"turns {self._config.seed}")
        order, shares = order_of(self.pairs, chance), settling_of(self.pairs, chance)
        for number, side in enumerate(order):
            runner = self._runners[side]
            settle = self.block * shares[number // 2]
            if side not in self.order:
                settle += self._config.warmup
            self.order += side
            self._turn(runner, partial(runner.visit, settle, self.block * (1 - SETTLING)))
            if self._ended():
                return
            if number % 2:
                self._on_pair(number // 2 + 1, self.slices)

    def _turn(self, runner: Runner, do: Callable[[], None]) -> None:
        if self._ended():
            return
        self._current = runner
        if self._interrupted is not None:  # just now, and it was the other's turn
            runner.interrupt(self._interrupted)
        do()

    def _ended(self) -> bool:
        return self._interrupted is not None or any(runner.phase is OVER for runner in self._runners.values())
