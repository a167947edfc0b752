"""Does a run survive its file?"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.stored import Run, as_text, read


def test_a_run_survives_its_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(as_text(run))
    found = json.loads((tmp_path / "run.json").read_text())
    assert read(found) == run
    assert len(found["summaries"]) == len(run.summaries())
