"""Does a soak tell a server that keeps its promises from one that does not?"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.soak.figures import GROWTH, Figures, checks, growth, last_two_thirds
from benchmarks.soak.run import Interrupt, Soak
from benchmarks.soak.settings import Settings
from tests.benchmarks.soak import linux


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
