"""Our load tester and the C generator visit one server in turn, and the figure is their ratio."""

import re

import pytest

from benchmarks import generating
from benchmarks.cli import main
from benchmarks.compiling import compiler


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
def test_the_ratio_of_both_generators_is_told_for_each_load(capsys):
    assert main(["generator", "--rounds", "1", "--seconds", "0.2", "--warmup", "0.1"]) == 0
    said = capsys.readouterr()
    told = re.findall(r"^(64x1|64x16): ([\d.]+) of the C generator's rate .* of ([\d,]+) replies/s", said.out, re.M)
    assert [name for name, _, _ in told] == ["64x1", "64x16"]
    for _, ratio, rate in told:
        assert float(ratio) > 0
        assert int(rate.replace(",", "")) > 0


def test_a_load_tester_that_fails_is_no_figure(monkeypatch, capsys, tmp_path):
    if compiler() is None:
        pytest.skip("there is no C compiler")
    monkeypatch.setattr(generating, "CLIENT", tmp_path / "none.py")
    assert main(["generator", "--rounds", "1", "--seconds", "0.1", "--warmup", "0.1"]) == 1
    assert "exit code 2" in capsys.readouterr().err
