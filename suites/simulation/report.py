"""What did these worlds hold: how much, what went wrong, and which rows of the state tables were taken?

Not here: what may not happen (`invariants`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from protocol.states import MACHINES

__all__ = ["Report"]


class Report:
    """What one world held, or many together."""

    def __init__(self) -> None:
        self.connections = 0
        self.connection_seconds = 0.0
        self.seconds = 0.0
        self.turns = 0
        self.reasons: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.rows: Counter[tuple[str, str, str]] = Counter()

    def add(self, other: Report) -> None:
        self.connections += other.connections
        self.connection_seconds += other.connection_seconds
        self.seconds += other.seconds
        self.turns += other.turns
        both = ((self.reasons, other.reasons), (self.faults, other.faults), (self.events, other.events))
        for mine, theirs in both:
            mine.update(theirs)
        self.rows.update(other.rows)

    def lines(self) -> Iterator[str]:
        """For people."""
        yield (
            f"simulated: {self.connections:,} connections, {self.connection_seconds / 3600:,.1f} connection-hours, "
            f"{self.seconds / 3600:,.1f} hours, {self.turns:,} turns of the server's loop"
        )
        yield "\nfaults by kind"
        yield from (f"  {count:>9,}  {kind}" for kind, count in sorted(self.faults.items()))
        yield "\nconnections by the reason of their end"
        yield from (f"  {count:>9,}  {reason}" for reason, count in sorted(self.reasons.items()))
        yield "\nwhat subscribers were sent"
        yield from (f"  {count:>9,}  {event}" for event, count in sorted(self.events.items()))
        yield "\nrows of the state tables by how often they were taken (by connections that are observed)"
        never = []
        for machine in MACHINES:
            for row in machine.rows:
                count = self.rows[machine.name, row.state, row.input]
                if not count:
                    never.append(f"{machine.name} {row.state} {row.input}")
                yield f"  {count:>9,}  {machine.name:<9} {row.state:<11} {row.input:<17} {row.target}"
        yield f"never taken: {', '.join(never) or 'none'}"
