"""Which broken server is caught by which case?

    python -m suites.detection [NAME ... | --rest]

runs every variant, or those named, against its case and prints a table; without names also the naive
server against every starred case. `--rest`: the slow ones alone, and what needs the machine for itself.
Exit codes: 0 all caught, 1 one was not, 2 usage.

Not here: how (`detect`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from multiconn.commands import stdio
from suites.conformance.case import FAILED, Result

from .detect import Finding, findings, naive_results, slow
from .registry import BREAKS

REST = "--rest"


def main(arguments: Sequence[str]) -> int:
    rest = list(arguments) == [REST]
    names = [name for name, variant in BREAKS.items() if variant.slow] if rest else arguments
    unknown = [name for name in names if name not in BREAKS]
    if unknown:
        some = f"write {REST}, or names out of: {', '.join(BREAKS)}"
        print(f"detection: there is no variant {unknown[0]!r}; {some}", file=sys.stderr)
        return 2
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        naive = beside.submit(naive_results, slow if rest else None) if rest or not names else None
        missed = sum(not told(finding) for finding in findings(names or None).values())
        if naive is not None:
            missed += tell_naive(naive.result())
    print(f"{missed} missed, {time.monotonic() - begun:.1f} s")
    return int(missed > 0)


def told(finding: Finding) -> bool:
    """Print it; was it caught?"""
    case = finding.broken.case
    print(f"{'caught' if finding.caught else 'MISSED':8}{finding.variant.name:30}{case.id:8}{case.title}")
    if not finding.caught:
        print(f"{'':8}broken: {finding.broken.verdict}, {finding.broken.came[:160]}")
        print(f"{'':8}healthy: {finding.healthy.verdict}, {finding.healthy.came[:160]}")
    return finding.caught


def tell_naive(results: Sequence[Result]) -> int:
    """Print what the starred cases said of the naive server; how many did not fail it?"""
    passed = [result for result in results if result.verdict != FAILED]
    print(f"naive server: {len(results) - len(passed)} of {len(results)} starred cases FAILED")
    for result in passed:
        print(f"{'':8}MISSED: {result.case.id} {result.case.title}: {result.verdict}, {result.came[:160]}")
    return len(passed)


if __name__ == "__main__":
    sys.exit(stdio.run("detection", lambda: main(sys.argv[1:])))
