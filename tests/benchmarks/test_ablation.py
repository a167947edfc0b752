"""Does the ablation say what is left without each trick, and which bring nothing?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import compiling, table
from benchmarks.ablation import Ablation, lines, main, read
from benchmarks.loads import LOADS
from benchmarks.tricks import TRICKS, TRIED
from benchmarks.visit import Visit


def ablation() -> Ablation:
    visits = []
    for number in range(3):
        visits += [
            Visit("64x1", "ours", number, rate=100, cpu_us=10),
            Visit("64x1", "batch", number, rate=40 + number, cpu_us=25),
            Visit("64x1", "spin", number, rate=100 + number, cpu_us=10),
            Visit("64x1", "resting", number, rate=101, cpu_us=10),
            Visit("1000x1", "ours", number, rate=100, cpu_us=10),
            Visit("1000x1", "accept-batch", number, rate=100, cpu_us=10, starved=700 + number),
            Visit("1000x1", "sendmsg", number, broken="3 wrong_content"),
        ]
    tricks = {name: TRICKS[name].what for name in ("spin", "batch", "resting", "accept-batch", "sendmsg")}
    return Ablation({}, {"rounds": 3}, tricks, visits, 1000, {"ours": 300.0, "resting": 600.0})


def test_what_is_left_is_the_median_of_the_rounds_ratios_to_the_whole_server() -> None:
    left = ablation().left()
    assert (left["batch"]["64x1"].median, left["batch"]["64x1"].low) == (0.41, 0.40)
    assert "ours" not in left


def test_a_trick_brings_nothing_if_neither_throughput_nor_fairness_nor_memory_is_lost() -> None:
    assert ablation().bring_nothing() == ["spin"]


def test_the_terminal_is_told_of_each_trick() -> None:
    told = lines(ablation())
    assert ["batch", "64x1", "0.41", "(0.40..0.42)", "0.40"] in [line.split() for line in told]
    assert any("702 starved, else 0" in line for line in told)
    assert any("600 bytes per idle connection, else 300" in line for line in told)
    assert told[-1] == "without these nothing was lost: spin"


def test_the_docs_table_has_a_row_for_each_trick_in_their_order() -> None:
    made = table.tables(json.loads(json.dumps(ablation().as_json())))["ablation"]
    rows = made.splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == ["spin", "batch", "resting", "accept-batch", "sendmsg"]
    assert "| **0.41** (0.40 to 0.42) |" in rows[1]
    assert "`1000x1` **1.00** (1.00 to 1.00); 702 starved, else 0" in rows[3]


def test_what_was_tried_has_a_table_of_its_own() -> None:
    one = ablation()
    one.kind = "tried"
    assert list(table.tables(json.loads(json.dumps(one.as_json())))) == ["tried"]
    assert lines(one)[1].startswith("with ")
    assert "nothing was lost" not in lines(one)[-1]


def test_it_survives_its_file() -> None:
    one = ablation()
    assert read(json.loads(json.dumps(one.as_json()))) == one


def test_every_trick_is_measured_on_loads_there_are() -> None:
    assert all(load in LOADS for trick in [*TRICKS.values(), *TRIED.values()] for load in trick.loads)
    assert all(trick.loads for trick in TRICKS.values())


def test_an_unknown_trick_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tricks", "magic"]) == 2
    assert "there is no trick magic; there are one-send" in capsys.readouterr().err


def test_a_short_run_measures_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no C compiler")
    what = ["--tricks", "id-cache,spin", "--loads", "64x1-ids,64x16-ids"]
    how = ["--rounds", "1", "--seconds", "0.05", "--warmup", "0.05", "--connections", "0"]
    assert main([*what, *how, "--json", str(tmp_path / "ablation.json")]) == 0
    found = read(json.loads((tmp_path / "ablation.json").read_text()))
    assert {(visit.load, visit.peer) for visit in found.visits} == {
        (load, peer) for load in ("64x1-ids", "64x16-ids") for peer in ("ours", "id-cache")
    }
    assert not any(visit.broken for visit in found.visits)
    assert "id-cache        64x16-ids" in capsys.readouterr().out
