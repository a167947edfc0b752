"""What does the command say of what was played, and without hypothesis?"""

from __future__ import annotations

import sys

import pytest

from suites.model.__main__ import main


def test_it_says_how_many_examples_made_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")
    assert main(["--examples", "2", "--steps", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2 examples of up to 3 steps in ")
    assert out.endswith(" s: no difference\n")


def test_a_difference_is_exit_code_1_with_the_steps_that_show_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")

    def otherwise(*_: object) -> None:
        difference = AssertionError("served twice")
        difference.add_note("state.wait(seconds=11.7)")
        raise difference

    monkeypatch.setattr("suites.model.machine.play", otherwise)
    assert main(["--examples", "300"]) == 1
    told = capsys.readouterr()
    assert "the server did otherwise than the model says" in told.out
    assert "served twice\nstate.wait(seconds=11.7)\n" in told.err


def test_interrupted_it_says_that_nothing_was_found_until_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("suites.model.machine.play", interrupted)
    assert main([]) == 130
    assert capsys.readouterr().out.endswith("no difference until then\n")


def test_without_hypothesis_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    for module in ("machine", "messages"):
        monkeypatch.delitem(sys.modules, f"suites.model.{module}", raising=False)
    assert main([]) == 2
    assert capsys.readouterr().err == "model: hypothesis is not installed: pip install hypothesis\n"


@pytest.mark.parametrize("number", ["0", "-1", "many", "9" * 500])
def test_a_number_that_is_none_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([f"--examples={number}"])
    assert stopped.value.code == 2
    assert "is not a number from 1" in capsys.readouterr().err
