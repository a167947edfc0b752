"""Is the server that is asked for the one that starts?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from suites.detection import broken
from suites.detection.broken import BREAKS, HEALTHY, main


def test_an_unknown_variant_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-variant"]) == 2
    assert "--list" in capsys.readouterr().err


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the server was started with."""
    asked: list[list[str]] = []
    monkeypatch.setattr(broken.server, "main", lambda arguments: asked.append(arguments) or 7)
    return asked


def test_a_mistake_is_made_before_the_server_starts_with_the_options_that_show_it(
    served: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[object] = []
    variant = replace(BREAKS["timer-per-byte"], apply=lambda: order.append(list(served)), options=("--short", "1s"))
    monkeypatch.setitem(BREAKS, "timer-per-byte", variant)
    assert main(["timer-per-byte", "127.0.0.1", "0", "--more"]) == 7
    assert order == [[]]
    assert served == [["127.0.0.1", "0", "--more", "--short", "1s"]]


def test_the_healthy_one_is_the_same_without_any(served: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*arguments: object) -> None:
        raise AssertionError("a mistake was made")

    for name, variant in BREAKS.items():
        monkeypatch.setitem(BREAKS, name, replace(variant, apply=no))
    assert main([HEALTHY, "127.0.0.1", "0"]) == 7
    assert served == [["127.0.0.1", "0"]]


def test_the_list_names_each_with_what_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BREAKS)
    assert all(variant.what in line for line, variant in zip(lines, BREAKS.values(), strict=True))


def test_without_a_name_it_says_what_to_write(served: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "write NAME HOST PORT" in capsys.readouterr().err
    assert served == []
