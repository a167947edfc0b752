"""Which scenarios are swept?

Not here: what happens in them (`suites.faults.serving`, `suites.faults.asking`, `suites.faults.starting`).
"""

from __future__ import annotations

from collections.abc import Callable

from suites.faults.asking import SCENARIOS
from suites.faults.kernel import Faults
from suites.faults.serving import SCRIPTS
from suites.faults.starting import start

__all__ = ["ALL"]

ALL: dict[str, Callable[[Faults], None]] = {
    **{f"server: {name}": script for name, script in SCRIPTS.items()},
    **{f"client: {name}": scenario for name, scenario in SCENARIOS.items()},
    "start": start,
}
