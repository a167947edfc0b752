"""Which broken server is caught by which case?

    python -m tests.detection [NAME ...]

runs every variant, or those named, against its case and prints a table; without names also the naive
server against every starred case. Exit codes: 0 all caught, 1 one was not, 2 usage.

Not here: how (`detect`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from .detect import findings, naive_results
from .registry import BREAKS

NOT_FAILED = "not failed"


def main(names: Sequence[str]) -> int:
    unknown = [name for name in names if name not in BREAKS]
    if unknown:
        print(f"detection: there is no variant {unknown[0]!r}: {', '.join(BREAKS)}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    missed = 0
    for name, finding in findings(names or None).items():
        missed += not finding.caught
        case = finding.broken.case
        print(f"{'caught' if finding.caught else 'MISSED':8}{name:30}{case.id:8}{case.title}")
        if not finding.caught:
            print(f"{'':8}broken: {finding.broken.verdict}, {finding.broken.came[:160]}")
            print(f"{'':8}healthy: {finding.healthy.verdict}, {finding.healthy.came[:160]}")
    if not names:
        missed += naive_against_starred()
    print(f"{missed} missed, {time.monotonic() - begun:.1f} s")
    return int(missed > 0)


def naive_against_starred() -> int:
    results = naive_results()
    passed = [result for result in results if result.verdict != "FAILED"]
    print(f"naive server: {len(results) - len(passed)} of {len(results)} starred cases FAILED")
    for result in passed:
        print(f"{'':8}{NOT_FAILED}: {result.case.id} {result.case.title}: {result.verdict}, {result.came[:160]}")
    return len(passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
