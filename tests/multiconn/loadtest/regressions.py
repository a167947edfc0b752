"""How often is a change seen that is there, and how often one that is not?

    python3 -m tests.multiconn.loadtest.regressions             20 tries of each; about six minutes
    python3 -m tests.multiconn.loadtest.regressions --tries 3   less than a minute, and shows less

Servers with known service times (`paced`), loaded in turns as `load A --against B` does: twice the same
one, and one that is 10 % slower. Exit code 0 if at most one equal pair in twenty is called different and
at most two slower ones in twenty are missed; 130 for one that was interrupted.

Fewer tries can't show so much. They fail only for what a comparison that is wrong once in twenty, or misses one in
ten, would do less often than once in twenty: of three, two equal pairs called different, or two slower ones missed. So
they notice a comparison that is broken, not one that has become a little worse.
"""

from __future__ import annotations

import argparse
import sys
import time
from math import comb

from eventloop import parse_address
from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.interleaved import InterleavedRun
from multiconn.loadtest.judge.bootstrap import MARGIN
from multiconn.loadtest.judge.compare import Comparison, Side, blocks_of, compare
from multiconn.loadtest.output.summary import summary

from .paced import paced

#: Seconds that a reply takes. The processor's own share of it is small even on a machine with others at work.
SERVICE = 0.030
SLOWER = 1.10
CONNECTIONS = 16
BLOCK, PAIRS = 0.3, 12


def attempt(targets: list[str], seed: int) -> Comparison:
    """One comparison of two targets."""
    config = Config(connections=CONNECTIONS, duration=BLOCK * PAIRS, warmup=0.2, connect_rate=10_000.0, seed=seed)
    addresses = {side: parse_address(target) for side, target in zip("ab", targets, strict=True)}
    both = InterleavedRun(config, {s: (a, resolve(a)) for s, a in addresses.items()}, {"a": [], "b": []}, BLOCK, PAIRS)
    outcomes = both.run()
    sides = [
        Side(side, summary(outcome, [], "test"), blocks_of(both.slices[side], visits=True))
        for side, outcome in outcomes.items()
    ]
    return compare(sides[0], sides[1], interleaved=True, seed=seed)


def figures(comparison: Comparison) -> str:
    changes = "  ".join(f"{c.metric} {c.change:+.1%} ({c.low:+.1%} to {c.high:+.1%})" for c in comparison.changes)
    return changes + "".join(f"  [{doubt}]" for doubt in comparison.doubts)


#: Of twenty tries of each kind: what may go wrong, and the share behind it.
TRIES = 20
CALLED, MISSED = 1, 2


def allowed(tries: int, of_twenty: int) -> int:
    """So many tries may go wrong: more happen to a comparison that is good enough less often than once in twenty."""
    if tries >= TRIES:
        return tries * of_twenty // TRIES
    share = of_twenty / TRIES
    chances = [comb(tries, k) * share**k * (1 - share) ** (tries - k) for k in range(tries + 1)]
    return next(k for k in range(tries + 1) if sum(chances[k + 1 :]) < 0.05)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.multiconn.loadtest.regressions")
    parser.add_argument("--tries", type=int, default=TRIES, metavar="N", help=f"of each kind ({TRIES})")
    tries: int = parser.parse_args().tries
    if tries < 2:
        parser.error("--tries: write a whole number from 2; one try shows nothing")
    said = {"equal": 0, "slower": 0}
    made = {"equal": 0, "slower": 0}
    interrupted = False
    largest = 0.0
    began = time.monotonic()
    try:
        for seed in range(tries):
            for kind, factor in (("equal", 1.0), ("slower", SLOWER)):
                with paced(SERVICE, SERVICE * factor) as targets:
                    comparison = attempt(targets, seed)
                worse = bool(comparison.regressions)
                said[kind] += worse
                made[kind] += 1
                if kind == "equal":
                    largest = max([largest, *(abs(change.change) for change in comparison.changes)])
                print(f"{kind:<7}{'REGRESSION' if worse else '-':<11}{figures(comparison)}", flush=True)
    except KeyboardInterrupt:
        interrupted = True
        print(f"interrupted after {made['equal']} and {made['slower']} of {tries} tries", file=sys.stderr)
    print(
        f"of {made['equal']} equal pairs {said['equal']} called a regression (largest change {largest:.1%}), "
        f"of {made['slower']} that are {SLOWER - 1:.0%} slower {said['slower']} found; "
        f"a change counts beyond {MARGIN:.0%}; {time.monotonic() - began:.0f} s"
    )
    if interrupted:
        return 130
    missed = made["slower"] - said["slower"]
    return 0 if said["equal"] <= allowed(tries, CALLED) and missed <= allowed(tries, MISSED) else 1


if __name__ == "__main__":
    sys.exit(main())
