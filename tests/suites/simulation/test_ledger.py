"""Does a run that was stopped go on where it was, and with nothing else?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from suites.simulation import ledger as ledgers
from suites.simulation.__main__ import main
from suites.simulation.ledger import Ledger
from suites.simulation.world import World


def totals(told: str) -> list[str]:
    """All that is said of the worlds, without how long they took."""
    lines = told.splitlines()
    return [re.sub(r" in [0-9.]+ s.*", "", line) for line in lines if "were run before" not in line]


def test_an_interrupted_run_goes_on_where_it_was_and_adds_up_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--seeds", "3:9"]) == 0
    whole = totals(capsys.readouterr().out)
    file = tmp_path / "ledger"
    run, ran = World.run, []

    def interrupted(self: World) -> None:
        if self.seed == 6 and 6 not in ran:
            ran.append(6)
            raise KeyboardInterrupt
        ran.append(self.seed)
        run(self)

    monkeypatch.setattr(World, "run", interrupted)
    assert main(["--seeds", "3:9", "--resume", str(file)]) == 130
    assert "interrupted after 3 of 6 seeds" in capsys.readouterr().out
    assert main(["--seeds", "3:9", "--resume", str(file)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("3 of 6 seeds were run before, 0 failed")
    assert ran == [3, 4, 5, 6, 6, 7, 8]
    assert totals(told) == whole
    assert main(["--seeds", "3:9", "--resume", str(file)]) == 0  # nothing is left to do
    assert len(ran) == 7
    assert totals(capsys.readouterr().out) == whole


def test_a_failed_seed_is_remembered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--seeds", "0:2", "--bug", "replies-swapped", "--resume", str(tmp_path / "ledger")]
    for _ in range(2):
        assert main(arguments) == 1
        assert re.search(r"^failed: 0", capsys.readouterr().out, re.M)


def test_a_line_that_was_cut_counts_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    ledger = Ledger(file, range(10), None)
    ledger.add(3, [1], 0.5, ledger.report)
    with file.open("a") as cut:
        cut.write('{"done": 4, "fai')
    again = Ledger(file, range(10), None)
    assert (again.done, again.failed) == (3, [1])
    again.add(1, [], 0.1, again.report)
    assert Ledger(file, range(10), None).done == 4


def test_the_digest_is_of_every_source_that_a_world_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path.relative_to(ledgers.ROOT).as_posix())
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    ledgers.code_digest()
    assert {"libserver/message.py", "libclient/__init__.py", "suites/conformance/wire.py"} <= set(read)
    imported = {
        Path(module.__file__).relative_to(ledgers.ROOT).as_posix()
        for name, module in sys.modules.items()
        if name.startswith("suites.simulation.") and module.__file__
    }
    assert imported <= set(read)
    assert len(read) == len(set(read))


@pytest.mark.parametrize("other", ["seeds", "bug", "code", "no ledger"])
def test_a_ledger_of_another_run_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    file = tmp_path / "ledger"
    Ledger(file, range(10), None)
    arguments = ["--seeds", "0:10", "--resume", str(file)]
    if other == "seeds":
        arguments[1] = "0:11"
    elif other == "bug":
        arguments += ["--bug", "mask-0"]
    elif other == "code":
        monkeypatch.setattr(ledgers, "code_digest", lambda: "another")
    else:
        file.write_text("shopping list")
    before = file.read_text()
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "name another file" in capsys.readouterr().err
    assert file.read_text() == before
