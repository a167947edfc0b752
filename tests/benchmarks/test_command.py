"""Does the command line do what it says, and do its parts that need no time?"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import compiling, rounds
from benchmarks.cli import main
from benchmarks.compiling import GENERATOR, CannotCompile, compiled
from benchmarks.crowd import Crowd, CrowdFailed
from benchmarks.loads import LOADS
from benchmarks.million import million
from benchmarks.peers import PEERS, chosen
from benchmarks.processes import CannotStart, ServerProcess, cores
from benchmarks.visit import Settings, Visit


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


def test_no_names_are_all_names() -> None:
    assert chosen(None, {"a": 1, "b": 2}, "thing") == [1, 2]
    assert chosen("b, a", {"a": 1, "b": 2}, "thing") == [2, 1]


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


def test_every_round_visits_every_server_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []

    class Started:
        ended = False

        def __init__(self, command: object, core: int, root: object) -> None:
            started.append(self)

        def __enter__(self) -> Started:
            return self

        def __exit__(self, *exc: object) -> None: ...

    monkeypatch.setattr(rounds, "ServerProcess", Started)
    monkeypatch.setattr(rounds, "visit", lambda server, load, peer, number, *rest: Visit(load.name, peer, number))
    monkeypatch.setattr("benchmarks.peers.Peer.command_line", lambda *arguments: [])
    settings = Settings(8, 0.1, 0.0, 7, *cores())
    peers = list(PEERS.values())[:6]
    made = list(rounds.run([LOADS["1x1"]], peers, settings, lambda text: None))
    orders = [[visit.peer for visit in made if visit.round == number] for number in range(8)]
    assert all(sorted(order) == sorted(peer.name for peer in peers) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert len(started) == 6
    assert len(list(rounds.run([LOADS["1x1"]], peers, settings, lambda text: None, anew=True))) == 48
    assert len(started) == 6 + 48  # a process keeps what it drew at its start


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(CannotStart, match="No module named"):
        ServerProcess([*PEERS["asyncio"].command_line("127.0.0.1", 0)[:2], "benchmarks.peers.nobody"], cores()[0])


def test_without_a_compiler_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    with pytest.raises(CannotCompile, match="no C compiler"):
        compiled(GENERATOR)


def test_programs_are_compiled_once_and_outside_the_source_tree() -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no C compiler")
    program = compiled(GENERATOR)
    made = program.stat().st_mtime_ns
    assert compiled(GENERATOR).stat().st_mtime_ns == made
    assert compiling.HERE.parent not in program.parents


def test_what_the_compiler_refuses_is_told(tmp_path: Path) -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "wrong.c").write_text("int main(void) { return nonsense; }\n")
    with pytest.raises(CannotCompile, match="nonsense"):
        compiled(tmp_path / "wrong.c")


def test_a_crowd_is_served_asked_again_and_gone() -> None:
    with ServerProcess(PEERS["ours"].command_line("127.0.0.1", 0), cores()[0]) as server, Crowd(server.port) as crowd:
        assert len(crowd.open(40)) == 40
        assert len(crowd.open(10, rate=10_000)) == 10
        crowd.ask_all()
        assert len(crowd) == 50
        server.stop()
        with pytest.raises(CrowdFailed):
            crowd.ask_all()


def test_a_million_is_the_figures_times_a_million() -> None:
    whole = million(450, 4000, accept_rate=10_000, descriptor_limit=20_032)
    assert whole.python_bytes == 450e6
    assert whole.kernel_bytes == 4e9
    assert whole.processes == 50
    assert whole.accept_seconds == 100
    assert whole.client_addresses == 36
