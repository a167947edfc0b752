"""Do the invariants judge rightly where they once did not?

Each of these was a seed that failed although the server was right, or would have passed although it was wrong.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from libserver.reasons import CloseReason
from suites.simulation.evidence import Ending, Invariant
from suites.simulation.invariants import INVARIANTS, BreaksAreNoticed, GentleClose, UnansweredHasReason


class Court:
    """A world that hears what is wrong. Nobody may be cut before `may_cut_from`."""

    def __init__(self, may_cut_from: float) -> None:
        self.may_cut_from = may_cut_from
        self.violations: list[str] = []

    def violated(self, name: str, words: str) -> None:
        self.violations.append(name)


def judged(invariant: Invariant, reason: CloseReason, may_cut_from: float = 100.0, more: int = 0, **facts: Any) -> int:
    """How many violations the end of a connection at 50 is, `more` bytes coming afterwards."""
    court: Any = Court(may_cut_from)
    usual = {"broken": False, "rude": False, "last": None, "owed": 0, "closed_at": 50.0}
    usual |= {"told_of_cut": False, "told_slow": False}
    talk = SimpleNamespace(sock=SimpleNamespace(shut_at=49.5), too_late=lambda: None)
    vars(talk).update(usual | facts)
    conversation: Any = talk
    invariant.ended(court, Ending(None, reason, conversation))
    for _ in range(more):
        talk.too_late()
    return len(court.violations)


LINGERED: list[tuple[CloseReason, dict[str, Any]]] = [
    (CloseReason.HEADER_TIMEOUT, {"last": "timeout", "more": 1}),
    (CloseReason.BAD_FRAMING, {"last": "content-too-large", "more": 1}),
    (CloseReason.BAD_FRAMING, {"last": "bad-header", "rude": True}),
    (CloseReason.SERVED, {"last": "one-shot", "rude": True}),
]


@pytest.mark.parametrize(("reason", "facts"), LINGERED)
def test_who_lingers_may_be_cut_by_a_second_signal_and_by_nothing_else(
    reason: CloseReason, facts: dict[str, Any]
) -> None:
    """Seeds 933024, 934682, 934991, 935968, 939184, 940866: cut while it lingered, which is right."""
    assert judged(GentleClose(), reason, may_cut_from=50.0, **facts) == 0
    assert judged(GentleClose(), reason, may_cut_from=50.1, **facts) == 1


def test_who_had_not_said_its_last_is_judged_whether_or_not_it_may_be_cut() -> None:
    sock = SimpleNamespace(shut_at=None)
    assert judged(GentleClose(), CloseReason.SHUTDOWN, may_cut_from=0.0, sock=sock, rude=True) == 1


@pytest.mark.parametrize("reason", [CloseReason.BAD_FRAMING, CloseReason.TRUNCATED, CloseReason.SLOW])
def test_an_input_that_failed_does_not_explain_a_missing_reply(reason: CloseReason) -> None:
    """Seeds 900051, 910506, 911145, 911213, 920676, 921172, 922108, 922132, 934073, 938702."""
    assert judged(UnansweredHasReason(), reason, owed=2) == 1


@pytest.mark.parametrize("reason", [CloseReason.CUT, CloseReason.SEND_TIMEOUT, CloseReason.OUTPUT_LIMIT])
def test_who_cuts_explains_it(reason: CloseReason) -> None:
    assert judged(UnansweredHasReason(), reason, owed=2) == 0


def test_nobody_is_told_of_a_cut_who_is_not_counted_as_cut() -> None:
    assert judged(UnansweredHasReason(), CloseReason.CUT, told_of_cut=True) == 0
    assert judged(UnansweredHasReason(), CloseReason.BAD_FRAMING, told_of_cut=True) == 1


def test_nobody_is_told_that_it_reads_too_slowly_who_is_not_counted_as_slow() -> None:
    assert judged(UnansweredHasReason(), CloseReason.SLOW_CONSUMER, told_slow=True, owed=2) == 0
    assert judged(UnansweredHasReason(), CloseReason.SEND_TIMEOUT, told_slow=True) == 0, "it did not take that, either"
    assert judged(UnansweredHasReason(), CloseReason.PEER_CLOSED, told_slow=True) == 1


def test_the_page_has_a_row_for_each_invariant() -> None:
    page = (Path(__file__).parents[3] / "docs" / "understand" / "simulation.md").read_text()
    rows = page[page.index("| invariant |") :].splitlines()[2:]
    told = [row.split("|")[1].strip() for row in itertools.takewhile(bool, rows)]
    assert told == [kind.name for kind in INVARIANTS]


# --- a break is noticed ------------------------------------------------------------------------


def kept_for(*times: float) -> int:
    """Violations in a world whose one connection is reset and kept, looked at at these times."""
    sock = SimpleNamespace(dead=True)
    message = SimpleNamespace(transport=SimpleNamespace(sock=sock, closed=False))
    world: Any = Court(0.0)
    world.number_of = lambda message: 1
    world.server = SimpleNamespace(connections=[message])
    invariant = BreaksAreNoticed()
    for now in times:
        world.clock = SimpleNamespace(now=now)
        invariant.swept(world)
    return len(world.violations)


SOON = [at / 10 for at in range(8)]


def test_a_break_that_is_kept_is_judged_once_the_server_has_looked_often_enough_after_its_time() -> None:
    assert kept_for(*SOON, 3.1, 3.2, 3.3, 3.4, 3.5) == 0
    assert kept_for(*SOON, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6) == 1


def test_a_turn_that_handlers_hold_up_is_no_time_in_which_a_break_could_be_noticed() -> None:
    """Seeds 14011051 and 14014785: between two looks went 2.5 s, in which handlers slept; the looks were all before."""
    assert kept_for(*SOON, 3.4) == 0
