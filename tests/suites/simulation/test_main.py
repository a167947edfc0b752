"""What does the command say of the worlds that it ran?"""

from __future__ import annotations

import re

import pytest

from suites.simulation.__main__ import main
from suites.simulation.bugs import BUGS
from suites.simulation.world import World


def test_the_command_runs_a_half_open_range_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2:4"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^2 seeds, 0 failed", told, re.M)
    assert "connection-hours" in told
    assert "faults by kind" in told
    assert "never taken: " in told


def test_a_seed_that_fails_is_named_with_how_to_replay_it_and_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bug = next(bug for bug in BUGS if bug.name == "replies-swapped")
    seed = bug.seed
    assert main(["--seeds", f"{seed}:{seed + 1}", "--bug", bug.name]) == 1
    told = capsys.readouterr().out
    assert f"seed {seed} FAILED  {bug.breaks}: " in told
    assert f"--replay {seed} --bug {bug.name} --trace" in told
    assert f"failed: {seed}" in told
    assert main(["--replay", str(seed), "--bug", bug.name]) == 1
    assert "VIOLATED" in capsys.readouterr().out


def test_interrupted_it_tells_what_it_has(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = World.run

    def interrupted(self: World) -> None:
        if self.seed == 2:
            raise KeyboardInterrupt
        run(self)

    monkeypatch.setattr(World, "run", interrupted)
    assert main(["--seeds", "1:100"]) == 130
    told = capsys.readouterr().out
    assert "interrupted after 1 of 99 seeds" in told
    assert "1 seeds, 0 failed" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seeds", "5:5"],
        ["--seeds", "x"],
        ["--trace"],
        ["--bug", "none"],
        ["--replay", "1", "--seeds", "0:2"],
        ["--replay", "1", "--shrink", "1"],
        ["--replay", "1", "--resume", "x"],
        ["--shrink", "1", "--resume", "x"],
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_the_command_shrinks_a_seed_and_offers_to_do_it_for_one_that_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed, name = 0, "replies-swapped"
    assert main(["--seeds", f"{seed}:{seed + 1}", "--bug", name]) == 1
    assert f"shrink: python -m suites.simulation --shrink {seed} --bug {name}" in capsys.readouterr().out
    assert main(["--shrink", str(seed), "--bug", name]) == 1
    told = capsys.readouterr().out
    assert "  to   " in told
    assert "as a test:" in told
    assert main(["--shrink", str(seed)]) == 0
    assert "does not fail" in capsys.readouterr().out
