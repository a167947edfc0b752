"""What went wrong, by name?

Each failure has one of a closed set of names. `Errors` keeps the first hundred of each with their
details, so that memory does not grow and the beginning of the trouble, which explains the rest,
is not lost.

Not here: which exception means which name (`judge.classify_error`), printing (`output.report`).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KEPT", "NAMES", "WRONG", "Errors", "Incident"]

CONNECT_REFUSED = "connect_refused"
CONNECT_TIMEOUT = "connect_timeout"
CONNECT_UNREACHABLE = "connect_unreachable"
FD_LIMIT = "fd_limit"
PORTS_EXHAUSTED = "ports_exhausted"
RESET = "reset"
BROKEN_PIPE = "broken_pipe"
EOF_BEFORE_REPLY = "eof_before_reply"
EOF_MID_MESSAGE = "eof_mid_message"
READ_TIMEOUT = "read_timeout"
BAD_PREFIX = "bad_prefix"
BAD_HEADER = "bad_header"
BAD_CONTENT = "bad_content"
VERIFY_MISMATCH = "verify_mismatch"
SERVER_ERROR = "server_error"

#: Every name, in the order a connection meets them. The summary has them all, zeros included.
NAMES = (
    CONNECT_REFUSED,
    CONNECT_TIMEOUT,
    CONNECT_UNREACHABLE,
    FD_LIMIT,
    PORTS_EXHAUSTED,
    RESET,
    BROKEN_PIPE,
    EOF_BEFORE_REPLY,
    EOF_MID_MESSAGE,
    READ_TIMEOUT,
    BAD_PREFIX,
    BAD_HEADER,
    BAD_CONTENT,
    VERIFY_MISMATCH,
    SERVER_ERROR,
)

#: A reply came and was wrong: its framing, its content, or what it says.
WRONG = (BAD_PREFIX, BAD_HEADER, BAD_CONTENT, VERIFY_MISMATCH)

#: How many of each are kept with their details.
KEPT = 100

#: Characters of a detail: a reply of megabytes is not kept a hundred times.
DETAIL_LENGTH = 300


class Incident(NamedTuple):
    """One failure: seconds since the run began, the slot, what happened, the requests it cost.

    Slots are numbered from 0 through all workers, taking turns: the ith of n has i, i + n, i + 2n ...
    """

    at_s: float
    connection: int
    detail: str
    requests: int = 0


class Errors:
    """Counts by name, and the first `KEPT` incidents of each."""

    __slots__ = ("_told", "counts", "kept")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(NAMES, 0)
        self.kept: dict[str, list[Incident]] = {}
        self._told: dict[str, tuple[int, int]] = {}  # counted and kept at the last `take_recent`

    def add(self, name: str, incident: Incident, times: int = 1) -> None:
        """Count `name` `times` times: the requests that one incident cost. Raises `KeyError` for a new name."""
        self.counts[name] += times
        kept = self.kept.setdefault(name, [])
        if len(kept) < KEPT:
            kept.append(incident._replace(detail=incident.detail[:DETAIL_LENGTH]))

    def take_recent(self) -> tuple[dict[str, int], list[tuple[str, Incident]]]:
        """The counts, and the incidents kept, since the last call."""
        counts, incidents = {}, []
        for name, kept in self.kept.items():
            counted, told = self._told.get(name, (0, 0))
            if self.counts[name] != counted:
                counts[name] = self.counts[name] - counted
                incidents += [(name, incident) for incident in kept[told:]]
                self._told[name] = self.counts[name], len(kept)
        return counts, incidents

    def merge(self, other: Errors) -> None:
        """Add another worker's; of both, the earliest incidents are kept."""
        for name, count in other.counts.items():
            self.counts[name] += count
        for name, kept in other.kept.items():
            self.kept[name] = sorted([*self.kept.get(name, []), *kept])[:KEPT]

    @property
    def total(self) -> int:
        return sum(self.counts.values())
