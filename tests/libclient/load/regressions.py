"""How often is a change seen that is there, and how often one that is not?

    python3 -m tests.libclient.load.regressions             20 tries of each; about six minutes
    python3 -m tests.libclient.load.regressions --tries 5

Servers with known service times (`paced`), loaded in turns as `load A --against B` does: twice the same
one, and one that is 10 % slower. Exit code 0 if at most one equal pair in twenty is called different and
at most two slower ones in twenty are missed.
"""

from __future__ import annotations

import argparse
import sys
import time

from eventloop import parse_address
from libclient.connect import resolve
from libclient.load.against import Turns
from libclient.load.bootstrap import MARGIN
from libclient.load.compare import Comparison, Side, blocks_of, compare
from libclient.load.config import Config
from libclient.load.outcome import summary

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
    turns = Turns(config, {s: (a, resolve(a)) for s, a in addresses.items()}, {"a": [], "b": []}, BLOCK, PAIRS)
    outcomes = turns.run()
    sides = [
        Side(side, summary(outcome, []), blocks_of(turns.pieces[side], visits=True))
        for side, outcome in outcomes.items()
    ]
    return compare(sides[0], sides[1], interleaved=True, seed=seed)


def figures(comparison: Comparison) -> str:
    changes = "  ".join(f"{c.metric} {c.change:+.1%} ({c.low:+.1%} to {c.high:+.1%})" for c in comparison.changes)
    return changes + "".join(f"  [{doubt}]" for doubt in comparison.doubts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.libclient.load.regressions")
    parser.add_argument("--tries", type=int, default=20, metavar="N", help="of each kind (20)")
    tries: int = parser.parse_args().tries
    said = {"equal": 0, "slower": 0}
    largest = 0.0
    began = time.monotonic()
    try:
        for seed in range(tries):
            for kind, factor in (("equal", 1.0), ("slower", SLOWER)):
                with paced(SERVICE, SERVICE * factor) as targets:
                    comparison = attempt(targets, seed)
                worse = bool(comparison.regressions)
                said[kind] += worse
                if kind == "equal":
                    largest = max([largest, *(abs(change.change) for change in comparison.changes)])
                print(f"{kind:<7}{'REGRESSION' if worse else '-':<11}{figures(comparison)}", flush=True)
    except KeyboardInterrupt:
        print("interrupted: what follows is a part", file=sys.stderr)
    print(
        f"of {tries} equal pairs {said['equal']} called a regression (largest change {largest:.1%}), "
        f"of {tries} that are {SLOWER - 1:.0%} slower {said['slower']} found; "
        f"a change counts beyond {MARGIN:.0%}; {time.monotonic() - began:.0f} s"
    )
    return 0 if said["equal"] <= tries / 20 and said["slower"] >= tries * 18 / 20 else 1


if __name__ == "__main__":
    sys.exit(main())
