"""How many errors were survived at how many calls? The whole sweep, and its table.

    python -m suites.faults

Every error of `suites.faults.errnos` at every call of every scenario: about 4,000 runs, ten seconds
on an idle machine. The exit code is 1 if something did not live on.
"""

from __future__ import annotations

import sys
import time

from multiconn.commands import stdio
from suites.faults.scenarios import ALL
from suites.faults.sweep import Tally, sweep


def main() -> int:
    began = time.monotonic()
    whole = Tally()
    failed = 0
    try:
        for name, scenario in ALL.items():
            try:
                tally = sweep(scenario)
            except AssertionError as failure:
                failed += 1
                print(f"FAILED {name}: {failure} {'; '.join(failure.__notes__)}", flush=True)
            else:
                whole.add(tally)
                print(f"{name}: {sum(tally.fired.values())} faults", flush=True)
    except KeyboardInterrupt:
        print("interrupted; so far:")
        failed += 1
    print(whole)
    print(f"{time.monotonic() - began:.0f} s, {failed} scenarios failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(stdio.run("faults", main))
