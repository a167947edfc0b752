"""How does a run become a file, and a file a run again?

JSON with everything in it: each visit, what was worked out from them, and where it was measured.
What is read back is the visits alone; the summaries are worked out anew, so that a table always
fits the arithmetic of today.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from benchmarks.results import Summary, summarize
from benchmarks.visit import Visit

__all__ = ["FORMAT", "Run", "as_text", "read", "visits_of"]

FORMAT = 1


@dataclass(frozen=True)
class Run:
    """One run of the loads. `skipped`: peers that could not take part, and why."""

    environment: Mapping[str, Any]
    settings: Mapping[str, Any]
    loads: Mapping[str, str]
    peers: Mapping[str, str]
    skipped: Mapping[str, str]
    visits: Sequence[Visit]
    interrupted: bool = False

    def summaries(self) -> list[Summary]:
        return summarize(self.visits)

    def caption(self) -> str:
        """One line: where, when it matters, and how often."""
        where, how = self.environment, self.settings
        return (
            f"Python {where.get('python')}, {where.get('processor')}, {where.get('cores')} cores, "
            f"{where.get('system')} {where.get('kernel')}; "
            f"medians of {how.get('rounds')} rounds of {how.get('seconds'):g} s, with the lowest and the highest"
        )


def as_text(run: Run) -> str:
    """What the file says."""
    everything = {
        "kind": "loads",
        "format": FORMAT,
        "environment": run.environment,
        "settings": run.settings,
        "interrupted": run.interrupted,
        "loads": run.loads,
        "peers": run.peers,
        "skipped": run.skipped,
        "summaries": [summary.as_json() for summary in run.summaries()],
        "visits": [asdict(visit) for visit in run.visits],
    }
    return json.dumps(everything, indent=1, ensure_ascii=False) + "\n"


def read(found: Mapping[str, Any]) -> Run:
    """From what `json.loads` gave. Raises `ValueError` if it is no run of this format."""
    if found.get("kind") != "loads" or found.get("format") != FORMAT:
        raise ValueError(f"not a run of format {FORMAT}: kind {found.get('kind')!r}, format {found.get('format')!r}")
    return Run(
        found["environment"],
        found["settings"],
        found["loads"],
        found["peers"],
        found["skipped"],
        visits_of(found),
        found["interrupted"],
    )


def visits_of(found: Mapping[str, Any]) -> list[Visit]:
    """The visits of a file; what it has of them that is not known here is left out."""
    known = {field.name for field in fields(Visit)}
    return [Visit(**{name: value for name, value in visit.items() if name in known}) for visit in found["visits"]]
