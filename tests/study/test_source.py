"""The line that took a step is found, in this project and nowhere else."""

from __future__ import annotations

from pathlib import Path

from study.source import source_line


def test_a_source_line_is_read_from_this_project_alone(tmp_path: Path):
    assert source_line("protocol/__init__.py:1") == (Path("protocol/__init__.py").read_text().splitlines()[0], "")
    number = next(k for k, text in enumerate(Path("study/view.py").read_text().splitlines(), 1) if "def _part(" in text)
    found = source_line(f"study/view.py:{number + 1}")
    assert found is not None
    assert found[1] == "_part"
    (tmp_path / "secret.py").write_text("password = 1\n")
    for wrong in ("../etc/passwd:1", "protocol/../study/view.py:1", "secret/secret.py:1", "/etc/passwd:1",
                  "protocol/states.py:0", "protocol/states.py:999999", "protocol/nothing.py:1", "", "x"):  # fmt: skip
        assert source_line(wrong) is None, wrong
