"""Is every fragment of the changelog one entry, under a name that says of what kind?

The rule is changelog.d/README.md's. What a release makes of them is towncrier's work, and tried here where it is
installed (the extra `release`; `.ci/run` has it).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "changelog.d"
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
NAME = re.compile(rf"(?:[1-9][0-9]*|\+[a-z0-9]+(?:-[a-z0-9]+)*)\.(?:{'|'.join(KINDS)})(?:\.[0-9]+)?\.md")


def config() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
    return found


def fragments() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path.name != "README.md")


def wrong_with(name: str, text: str) -> list[str]:
    """What the rule has against a fragment."""
    faults = []
    if not NAME.fullmatch(name):
        faults.append(f"call it +NAME.KIND.md or NUMBER.KIND.md; KIND is one of {', '.join(KINDS)}")
    if not text.endswith(".\n") or text.endswith("\n\n"):
        faults.append("it is a sentence and ends with a full stop and one line feed")
    if text.startswith(("-", "*", "#", " ")) or "\n\n" in text:
        faults.append("it is one entry: no dash or heading in front, and no empty line")
    if any(len(line) > 120 for line in text.splitlines()):
        faults.append("a line has more than 120 characters")
    return faults


@pytest.mark.parametrize("path", fragments(), ids=lambda path: path.name)
def test_a_fragment_is_one_entry_of_a_known_kind(path: Path) -> None:
    assert wrong_with(path.name, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["+a.added.md", "+two-words.fixed.md", "13.changed.md", "13.changed.1.md"])
def test_these_names_are_right(name: str) -> None:
    assert wrong_with(name, "It is.\n") == []


@pytest.mark.parametrize("name", ["a.added.md", "+a.news.md", "+a.added", "+A.added.md", "+a b.added.md", "0.added.md"])
def test_these_are_not(name: str) -> None:
    assert len(wrong_with(name, "It is.\n")) == 1


@pytest.mark.parametrize(
    "text", ["", "It is", "It is.", "It is.\n\n", "- It is.\n", "# It\n\nIt is.\n", "x" * 121 + ".\n"]
)
def test_this_is_no_entry(text: str) -> None:
    assert wrong_with("+a.added.md", text)


def test_the_kinds_are_those_of_keep_a_changelog_and_what_the_folder_tells() -> None:
    assert [kind["directory"] for kind in config()["type"]] == list(KINDS)
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in told] == []
    assert (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").count(config()["start_string"]) == 1


def test_a_release_puts_them_above_what_there_was_and_takes_them_away(tmp_path: Path) -> None:
    if find_spec("towncrier") is None:
        pytest.skip("towncrier is not installed (the extra release has it); .ci/run tries it")
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    folder = tmp_path / "changelog.d"
    folder.mkdir()
    shutil.copy(FOLDER / "README.md", folder)
    (folder / "+one.added.md").write_text("Something is new.\n", encoding="utf-8")
    (folder / "7.fixed.md").write_text("Something is right\nnow.\n", encoding="utf-8")
    before = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "9.9.9", "--date", "2030-01-02"],
        cwd=tmp_path, check=True, capture_output=True, timeout=50,
    )  # fmt: skip
    head, mark, rest = before.partition(config()["start_string"])
    after = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    assert after.startswith(head + mark)
    assert after.endswith(rest.lstrip("\n"))
    new = after.removeprefix(head + mark).removesuffix(rest.lstrip("\n")).strip()
    assert new == (
        "## [9.9.9] - 2030-01-02\n\n### Added\n\n- Something is new.\n\n### Fixed\n\n- Something is right\n  now. (#7)"
    )
    assert [path.name for path in folder.iterdir()] == ["README.md"]
