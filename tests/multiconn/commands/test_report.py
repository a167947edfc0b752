"""`app_client.py report` makes the page of a saved run once more, also of one that is not whole."""

from multiconn.commands.client import main
from multiconn.loadtest.output import files
from multiconn.loadtest.output.page import PAGE
from tests.support import scripted
from tests.support.scripted import ScriptedServer

QUICK = ("-n", "20", "-c", "2", "--ui", "none")


def test_it_makes_the_page_again_and_refuses_what_is_no_run_in_one_line(tmp_path, capsys):
    directory = tmp_path / "run"
    with ScriptedServer(scripted.correct) as server:
        assert main(["load", server.target, *QUICK, "-o", str(directory)]) == 0
    capsys.readouterr()
    assert main(["report", str(directory)]) == 0
    assert capsys.readouterr().out == f"{directory / PAGE}\n"
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / files.TIMESERIES).write_text('{"t": 1}\n')
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / files.SUMMARY).write_text('{"schema": "appload/1"}')
    (tmp_path / "half" / files.TIMESERIES).write_text("")
    for wrong in (tmp_path / "nowhere", tmp_path, tmp_path / "cut", tmp_path / "half"):
        assert main(["report", str(wrong)]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "name a directory that load -o wrote" in told


def test_a_page_is_made_without_a_whole_summary_and_says_what_it_leaves_out(tmp_path, capsys):
    with ScriptedServer(scripted.correct) as server:
        assert main(["load", server.target, *QUICK, "-o", str(tmp_path)]) == 0
    (tmp_path / "report.html").unlink()
    (tmp_path / "summary.json").write_text("")
    with (tmp_path / "timeseries.jsonl").open("a") as file:
        file.write('{"t": 2.0, "pha')
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'report.html'}\n"
    assert "summary.json is not whole (it is empty)" in said.err
    assert "the last, is cut; it is left out" in said.err
    assert len(said.err.splitlines()) == 2
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o600
