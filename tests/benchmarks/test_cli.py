"""Does the command line do what it says?"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import compiling
from benchmarks.cli import main
from benchmarks.loads import LOADS
from benchmarks.peers import PEERS


def test_the_list_names_every_peer_and_load(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in [*PEERS, *LOADS])


@pytest.mark.parametrize("arguments", [["--peers", "nobody"], ["--loads", "none"], ["--loads", ","]])
def test_an_unknown_name_is_refused_with_those_there_are(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "there are" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--rounds", "x"],
        ["--seconds", "0"],
        ["--seconds", "nan"],
        ["--warmup", "-1"],
        ["--json", "."],
        ["--plot", "nowhere/run.svg"],
        ["ablation", "--rounds", "0"],
        ["ablation", "--json", "nowhere/a.json"],
        ["fanout", "--rows", "100x0"],
        ["fanout", "--stalled", "0"],
        ["fanout", "--size", "15"],
        ["generator", "--seconds", "-1"],
        ["memory", "--connections", "0"],
        ["scale", "--connections", "10"],
        ["scale", "--idle", "0,x"],
        ["scale", "--processes", "0"],
        ["stall", "--stall", "0"],
        ["soak", "--json", "nowhere/s.json"],
    ],
)
def test_what_would_measure_nothing_or_could_not_be_written_is_refused_at_once(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[-1].split(",")[-1] in capsys.readouterr().err.splitlines()[-1]


def test_a_short_run_writes_json_and_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no C compiler")
    where = ["--json", str(tmp_path / "run.json"), "--plot", str(tmp_path / "run.svg")]
    how = [
        "--peers",
        "ours,c,ceiling",
        "--loads",
        "64x1-mixed",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
        "--warmup",
        "0.05",
    ]
    assert main([*how, *where]) == 0
    found = json.loads((tmp_path / "run.json").read_text())
    assert [visit["peer"] for visit in found["visits"] if not visit["broken"]].count("ours") == 1
    assert {visit["peer"] for visit in found["visits"]} == {"ours", "c"}  # the ceiling does not take different requests
    assert set(found["environment"]) >= {"python", "kernel", "processor", "cores"}
    assert ElementTree.parse(tmp_path / "run.svg").getroot() is not None
    assert "64x1-mixed" in capsys.readouterr().out
