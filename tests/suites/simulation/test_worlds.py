"""Do worlds run clean, and is the same seed the same world?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.states import MACHINES
from suites.simulation.__main__ import main
from suites.simulation.bugs import BUGS
from suites.simulation.clients import KINDS
from suites.simulation.report import Report
from suites.simulation.world import AFTERMATH, World

ROOT = Path(__file__).parents[3]


def ran(seed: int) -> World:
    world = World(seed)
    world.run()
    return world


@pytest.mark.parametrize("first", [0, 8, 16])
def test_a_few_dozen_worlds_run_clean(first: int) -> None:
    for seed in range(first, first + 8):
        world = ran(seed)
        assert world.violations == [], f"python -m suites.simulation --replay {seed} --trace"


def test_the_same_seed_has_the_same_trace_and_another_seed_another() -> None:
    lines = list(ran(5).trace.lines())
    assert len(lines) > 100
    assert list(ran(5).trace.lines()) == lines
    assert list(ran(6).trace.lines()) != lines


def test_the_trace_is_byte_identical_in_processes_that_hash_differently() -> None:
    world = World(17)
    kinds = {type(client) for client in world.clients}
    assert kinds == set(KINDS), "choose a seed with clients of every kind"
    world.close()
    traces = [
        subprocess.run(
            [sys.executable, "-m", "suites.simulation", "--replay", "17", "--trace"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 100


def test_worlds_are_full_of_faults_and_take_most_rows() -> None:
    total = Report()
    for seed in range(40, 50):
        total.add(ran(seed).report)
    assert total.connections > 100
    assert len(total.faults) > 15
    assert len(total.reasons) > 8
    assert len(total.rows) > 0.6 * sum(len(machine.rows) for machine in MACHINES)


def test_a_clock_that_leaps_after_the_servers_end_does_not_eat_the_clients_patience() -> None:
    """Seed 932052: an hour's suspend, and the calls that were still waited for were said to be lost."""
    world = World(0)
    seen = []
    world.schedule.after(1.0, world.leap, 3600.0)
    world.schedule.after(AFTERMATH - 1.0, seen.append, "due within the hour")
    world.schedule.after(3600.0 + AFTERMATH - 1.0, seen.append, "in time")
    world.schedule.after(3600.0 + AFTERMATH + 1.0, seen.append, "too late")
    world._others_run(lambda: False)
    world.close()
    assert seen == ["due within the hour", "in time"]


# --- the command -----------------------------------------------------------------------------------------


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
