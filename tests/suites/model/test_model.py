"""Does the model say what wire.md says, on conversations written down by hand?"""

from __future__ import annotations

import pytest

from suites.model.model import CONTENT, HEADER, IDLE, Model, Sent

KEEP = Sent(b"\0\1{" + b"x" * 7, 3, "kept", connection="keep-alive", id=1)
ONE_SHOT = Sent(b"\0\1{" + b"x" * 7, 3, "once")
BROKEN = Sent(b"\0\3[1]", 5, "bad-header", fatal=True)


def heard(*sent: Sent, but: int = 0) -> Model:
    """A model that has received all bytes of these, but the last few."""
    model = Model(0.0)
    model.stream += sent
    model.receive(sum(len(one.data) for one in sent) - but, 1.0)
    return model


def test_replies_are_owed_in_order_and_the_connection_is_served_while_it_is_kept_alive() -> None:
    model = heard(KEEP, KEEP)
    assert model.replies == [("kept", 1), ("kept", 1)]
    assert (model.serving, model.resting, model.reason) == (True, True, None)
    model = heard(KEEP, ONE_SHOT)
    assert model.replies == [("kept", 1), ("once", None)]
    assert model.serving, "once granted, it is kept alive until somebody says close"


def test_a_one_shot_request_is_the_last_and_so_is_what_says_close() -> None:
    for sent in ([ONE_SHOT, KEEP], [KEEP, Sent(KEEP.data, 3, "bye", connection="close"), KEEP]):
        model = heard(*sent)
        assert len(model.replies) == len(sent) - 1
        assert (model.serving, model.reason) == (False, "served")


def test_what_can_not_become_a_header_is_answered_before_it_is_whole() -> None:
    model = heard(BROKEN, but=2)
    assert model.replies == [("bad-header", None)]
    assert (model.serving, model.reason) == (False, "bad-framing")


def test_confirmations_are_counted() -> None:
    confirm = Sent(KEEP.data, 3, "confirm", connection="keep-alive")
    assert [answer for answer, _ in heard(confirm, KEEP, confirm).replies] == [1, "kept", 2]


@pytest.mark.parametrize(
    ("model", "finished", "reset"),
    [
        (lambda: Model(0.0), "silent", "silent"),
        (lambda: heard(KEEP), "peer-closed", "reset"),
        (lambda: heard(KEEP, KEEP, but=3), "truncated", "reset"),
        (lambda: heard(ONE_SHOT), "served", "served"),
    ],
)
def test_an_end_has_the_reason_of_what_came_before_it(model, finished: str, reset: str) -> None:
    for how, reason in (("finish", finished), ("reset", reset)):
        ended = model()
        getattr(ended, how)()
        assert (ended.serving, ended.reason) == (False, reason)


@pytest.mark.parametrize(
    ("model", "seconds", "reason", "told"),
    [
        (lambda: Model(0.0), HEADER, "header-timeout", []),
        (lambda: heard(KEEP, but=8), HEADER, "header-timeout", [("timeout", None)]),
        (lambda: heard(KEEP, but=3), CONTENT + 1, "content-timeout", [("timeout", 1)]),
        (lambda: heard(KEEP), IDLE + 1, "idle-timeout", [("kept", 1)]),
    ],
)
def test_time_runs_out_for_what_is_waited_for(model, seconds: float, reason: str, told: list[object]) -> None:
    late = model()
    late.wait(seconds - 1e-6)
    assert late.serving
    late.wait(seconds)
    assert (late.reason, late.replies) == (reason, told)


def test_a_drain_serves_what_was_begun_and_nothing_else() -> None:
    idle = heard(KEEP)
    idle.drain()
    assert (idle.serving, idle.reason) == (False, "shutdown")
    begun = heard(KEEP, KEEP, but=3)
    begun.drain()
    assert begun.serving
    begun.receive(3, 2.0)
    assert (begun.serving, begun.reason, len(begun.replies)) == (False, "shutdown", 2)
