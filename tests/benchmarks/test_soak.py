"""Does a soak tell a server that keeps its promises from one that does not?"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import main
from benchmarks.requests import mixed, repeated
from benchmarks.soak import command, exposure
from benchmarks.soak.figures import GROWTH, MIB, Figures, Sample, checks, closes, growth, last_two_thirds, percentile
from benchmarks.soak.reading import Replies
from benchmarks.soak.run import Interrupt, Soak
from benchmarks.soak.scripts import KINDS
from benchmarks.soak.settings import Settings
from tests.support.wire import framed

ROOT = Path(__file__).resolve().parents[2]

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a soak watches the server through /proc")


# --- a run ------------------------------------------------------------------------------


def soak(settings: Settings, enough: Callable[[Figures], bool]) -> dict[str, Any]:
    """Run it, press Ctrl-C once there is enough (or much time has passed); its checks by name."""
    interrupt = Interrupt()
    run = Soak(settings, lambda text: None, interrupt)

    def say(text: str) -> None:
        interrupt.came = len(run.figures.samples) >= 60 or enough(run.figures)

    run._say = say
    run.run()
    assert 0 < run.figures.chaos_seconds < settings.chaos, "Ctrl-C ended the phase"
    return {check.name: check for check in checks(run.figures)}


SHORT = Settings(quiet=0.2, chaos=60.0, idle=0.2, patience=3.0, timeout=0.4)

#: What this machine's other work can't change.
SURE = {"good answers", "accepted = closed", "accepted = made", "descriptors", "idle CPU", "server's end"}


@linux
def test_a_run_that_is_interrupted_still_ends_in_order_and_its_part_holds() -> None:
    found = soak(SHORT, lambda figures: len(figures.samples) >= 5)
    assert set(found) >= SURE
    assert [check for name, check in found.items() if name in SURE and not check.held] == []


@linux
def test_each_fault_of_a_broken_server_is_named() -> None:
    # It spins: in a second it comes to its turn on a busy machine too, in a fifth of one it once did not.
    server = (sys.executable, "tests/benchmarks/broken_server.py")
    broken = dataclasses.replace(SHORT, patience=0.5, idle=1.0, server=server)

    def enough(figures: Figures) -> bool:
        grown = growth(last_two_thirds(figures.samples))
        return len(figures.samples) >= 5 and figures.good_failed > 0 and grown > 2 * GROWTH

    found = soak(broken, enough)
    named = {name for name, check in found.items() if not check.held}
    assert named >= {
        "good answers",
        "bad peers' due",
        "accepted = closed",
        "descriptors",
        "memory",
        "idle CPU",
        "server's end",
    }
    assert "accepted = made" not in named


def test_the_first_ctrl_c_ends_the_phase_and_the_second_everything() -> None:
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.came
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "soon"])
def test_minutes_that_are_none_are_refused(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["soak", "--minutes", minutes])
    assert ended.value.code == 2
    assert "write minutes" in capsys.readouterr().err


# --- what one peer can cost ------------------------------------------------------------


@linux
def test_the_exposure_of_a_large_content_is_some_32_times_what_was_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exposure, "SETTLE", 0.1)
    monkeypatch.setitem(exposure.MEASURED, "announced", lambda: exposure.announced(530_000, 2))
    assert main(["exposure", "--only", "announced", "--json", str(tmp_path / "exposure.json")]) == 0
    assert "530,000 bytes of a content of 64 MiB" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "exposure.json").read_text())["rows"]
    assert 530_000 < row["cost"] < 40 * 530_000  # two peers share what the process itself grows by


def test_what_can_not_be_measured_is_refused_with_what_can(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["exposure", "--only", "silent,nothing"])
    assert ended.value.code == 2
    assert "no 'nothing'; there are silent, header" in capsys.readouterr().err


# --- the verdict ------------------------------------------------------------------------


def good_figures() -> Figures:
    """Of a server that does all it should."""
    figures = Figures(
        quiet_us=array("L", range(1000, 2000)),
        chaos_us=array("L", range(1500, 2500)),
        control_us=array("L", range(1000, 2000)),
        good_right=2000,
        good_made=100,
        good_finished=True,
        bad_made=900,
        bad_played=dict.fromkeys(KINDS, 10),
        chaos_seconds=60.0,
        descriptors_before=8,
        descriptors_after=8,
        accepted=1000,
        exit_code=0,
    )
    figures.samples = [Sample(at, "chaos", 25 * MIB, 40, 0.1, 2000, 30) for at in range(60)]
    reasons = (
        "served peer-closed truncated reset bad-framing header-timeout content-timeout idle-timeout send-timeout "
        "output-limit slow"
    )
    figures.closed_by = dict.fromkeys(reasons.split(), 80) | {"overloaded": 120}
    return figures


def test_of_a_good_run_every_promise_holds() -> None:
    assert [check for check in checks(good_figures()) if not check.held] == []


def test_a_failed_run_is_told_apart_by_its_exit_code_and_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = good_figures()
    figures.good_failed = 1

    def run(soak: Soak) -> None:
        soak.figures = figures

    monkeypatch.setattr(command.Soak, "run", run)
    assert main(["soak", "--json", str(tmp_path / "soak.json")]) == 1
    assert "not held: good answers" in capsys.readouterr().err
    written = json.loads((tmp_path / "soak.json").read_text())
    assert [check["name"] for check in written["checks"] if not check["held"]] == ["good answers"]
    assert written["latency_us"]["chaos"]["p99"] == 2489
    figures.good_failed = 0
    assert main(["soak"]) == 0


BREAKS: dict[str, tuple[str, dict[str, Any]]] = {
    "a wrong answer": ("good answers", {"good_failed": 1}),
    "no answer at all": ("good answers", {"good_right": 0}),
    "good traffic that did not end": ("good answers", {"good_finished": False}),
    "most newcomers refused": ("good answers", {"good_refused": 300}),
    "slow beside bad peers alone": ("good p99", {"chaos_us": array("L", [10_001] * 1000)}),
    "a promise to a bad peer broken": ("bad peers' due", {"bad_broken": 1}),
    "a kind that never came to its end": ("bad peers' due", {"bad_played": dict.fromkeys(KINDS, 1) | {"idles": 0}}),
    "a connection without a reason": ("accepted = closed", {"accepted": 1001, "bad_made": 901}),
    "no summary": ("accepted = closed", {"accepted": -1}),
    "a connection nobody made": ("accepted = made", {"bad_made": 899}),
    "a reason never seen": ("reasons", {"closed_by": {"served": 1000}}),
    "a descriptor kept": ("descriptors", {"descriptors_after": 9}),
    "a core busy for nothing": ("idle CPU", {"idle_cpu": 0.03}),
    "a traceback in the log": ("server's end", {"tracebacks": 1}),
    "another exit code": ("server's end", {"exit_code": None}),
    "no memory seen": ("memory", {"samples": []}),
}


@pytest.mark.parametrize("what", BREAKS)
def test_each_broken_promise_has_its_name(what: str) -> None:
    name, values = BREAKS[what]
    broken = dataclasses.replace(good_figures(), **values)
    assert name in [check.name for check in checks(broken) if not check.held]


def test_an_internal_error_is_a_reason_that_must_not_be_seen() -> None:
    figures = good_figures()
    figures.closed_by |= {"served": 79, "internal-error": 1}
    assert [check.name for check in checks(figures) if not check.held] == ["reasons"]


def test_what_delays_the_control_as_well_is_the_machine_s_doing() -> None:
    figures = good_figures()
    figures.chaos_us = array("L", [50_000] * 1000)
    figures.control_us = array("L", [20_000] * 1000)
    assert all(check.held for check in checks(figures))


@pytest.mark.parametrize(("step", "held"), [(0.0, True), (0.01, True), (0.4, False), (-0.4, True)])
def test_memory_that_grows_steadily_is_found_and_its_ups_and_downs_are_not(step: float, held: bool) -> None:
    figures = good_figures()
    figures.samples = [
        Sample(at, "chaos", round((25 + step * at + at % 5) * MIB), 40, 0.1, 2000, 30) for at in range(60)
    ]
    assert {check.name: check.held for check in checks(figures)}["memory"] is held


def test_what_grows_in_the_first_third_is_not_counted() -> None:
    figures = good_figures()
    figures.samples = [Sample(at, "chaos", (10 + min(at, 18)) * MIB, 40, 0.1, 0, 0) for at in range(60)]
    assert {check.name: check.held for check in checks(figures)}["memory"]


def test_growth_is_what_the_least_squares_line_gains() -> None:
    assert growth([(at, 3.0 * at + 7) for at in range(11)]) == pytest.approx(30.0)
    assert growth([(0.0, 1.0), (1.0, 5.0), (2.0, 1.0)]) == pytest.approx(0.0)
    assert growth([]) == growth([(1.0, 1.0)]) == growth([(1.0, 1.0), (1.0, 2.0)]) == 0.0


def test_percentiles_are_by_nearest_rank() -> None:
    assert [percentile(range(1, 101), part) for part in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.99) == 0


def test_the_summary_is_read_from_the_server_s_last_words() -> None:
    log = "Listening on tcp://127.0.0.1:1\nDraining (SIGTERM)\nClosed: accepted 12 (served 4, peer-closed 8)\n"
    assert closes(log) == (12, {"served": 4, "peer-closed": 8})
    assert closes("Closed: accepted 0\n") == (0, {})
    assert closes("Traceback ...\n") == (-1, {})


# --- the replies -------------------------------------------------------------------------


def reply_to(variant: Any) -> bytes:
    return framed({"content-type": "text/json", "content-length": len(variant.content)}, variant.content)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
def test_replies_are_cut_apart_wherever_the_bytes_are(size: int) -> None:
    variants = mixed(40)
    wire = b"".join(map(reply_to, variants))
    replies = Replies()
    found = [reply for at in range(0, len(wire), size) for reply in replies.feed(wire[at : at + size])]
    assert len(found) == 40
    assert all(reply.answers(variant) for reply, variant in zip(found, variants, strict=True))
    assert not replies.rest
    assert not found[0].answers(repeated()[0])


def test_what_is_no_reply_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(ValueError, match="no reply"):
        Replies().feed(b"\0\2{}")
