"""Does `python -m benchmarks batch` measure what it says?"""

from __future__ import annotations

import json

import pytest

from benchmarks.batch import REQUESTS, main, nanoseconds
from benchmarks.requests import mixed


def test_each_figure_is_the_shortest_pass_by_the_requests_in_it() -> None:
    times = iter([0.0, 0.0, 2.0, 2.0, 2.5, 3.0, 4.0, 11.0])  # three passes: 2, 0.5 and 1 s
    requests = [variant.request for variant in mixed(10)]
    assert nanoseconds(requests, 16, 10.0, lambda: next(times)) == pytest.approx(0.5e9 / 10)


def test_it_prints_a_row_for_the_server_and_one_for_each_trick(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1", "--seconds", "0.001", "--tricks", "one-scan"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told[2:]] == ["nothing", "one-scan"]
    for line in told[2:]:
        figures = [float(word.replace(",", "")) for word in line.split()[1:]]
        assert len(figures) == 2 * len(REQUESTS)
        assert all(100 < figure < 1e8 for figure in figures)


def test_one_process_measures_one_and_says_so_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nothing", "--seconds", "0.001"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {f"{name} {depth}" for name in REQUESTS for depth in (1, 16)}


def test_an_unknown_trick_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--tricks", "none"])
    assert ended.value.code == 2
    assert "one-scan" in capsys.readouterr().err
