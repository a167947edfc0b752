"""How does a run of half a day go on where it was stopped?

A ledger is a file of JSON lines: what the run is about, then what each hundred of its seeds held. Whoever starts
the same run with it again goes on behind the last line. A line that was cut while it was written counts for
nothing, and a ledger of other seeds, another bug or other code is refused: two halves of different programs
say nothing about either.

Not here: running seeds (`__main__`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from .report import Report

__all__ = ["Ledger", "code_digest"]

ROOT = Path(__file__).parents[2]
#: What a world is made of.
SOURCES = (
    *(f"{package}/**/*.py" for package in ("eventloop", "libclient", "libserver", "protocol", "suites/simulation")),
    "suites/conformance/wire.py",
)


def code_digest() -> str:
    """SHA-256 over the sources that decide what a seed does."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class Ledger:
    """`done` seeds from the range's beginning on, `failed` of them, and the `report` of all.

    `path` None: it keeps nothing. Raises `ValueError`, saying what to do, for a file of another run.
    """

    def __init__(self, path: Path | None, seeds: range, bug: str | None) -> None:
        self.done = 0
        self.failed: list[int] = []
        self.report = Report()
        self.seconds = 0.0
        self._path = path
        self._about = {"seeds": [seeds.start, seeds.stop], "bug": bug}
        if path is not None:
            self._about["code"] = code_digest()
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text()
        except FileNotFoundError:
            text = ""
        if not text:
            self._write(self._about)
            return
        *lines, rest = text.split("\n")  # the rest was cut while it was written
        if not lines:
            self._decoded(rest)
        about, *entries = (self._decoded(line) for line in lines)
        if about != self._about:
            raise ValueError(f"{path} is of other seeds, another bug or other code: name another file, or remove it")
        if rest:
            path.write_text("".join(line + "\n" for line in lines))
        for entry in entries:
            self._count(entry["done"], entry["failed"], entry["seconds"], _report(entry["report"]))

    def _decoded(self, line: str) -> dict[str, Any]:
        try:
            decoded = json.loads(line)
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            raise ValueError(f"{self._path} is no ledger of a simulation: name another file")
        return decoded

    def add(self, done: int, failed: list[int], seconds: float, report: Report) -> None:
        """So many seeds more."""
        if not done:
            return
        self._count(done, failed, seconds, report)
        entry = {"done": done, "failed": failed, "seconds": round(seconds, 3), "report": _plain(report)}
        self._write(entry)

    def _count(self, done: int, failed: list[int], seconds: float, report: Report) -> None:
        self.done += done
        self.failed += failed
        self.seconds += seconds
        self.report.add(report)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(entry) + "\n")


def _plain(report: Report) -> dict[str, Any]:
    """As JSON has it."""
    return {**vars(report), "rows": {" ".join(row): count for row, count in report.rows.items()}}


def _report(plain: dict[str, Any]) -> Report:
    report = Report()
    for name, value in plain.items():
        setattr(report, name, Counter(value) if isinstance(value, dict) else value)
    rows: dict[Any, int] = plain["rows"]
    report.rows = Counter()
    for row, count in rows.items():
        machine, state, given = row.split(" ")
        report.rows[machine, state, given] = count
    return report
