"""A trace takes the same transitions again, and what was changed in it is found out."""

from __future__ import annotations

import pytest

from study.replay import CannotReplay, replay
from study.trace import SYSCALL, TRANSITION, Trace
from tests.study.recording import ASK, CONVERSATION, recorded
from tests.study.scribe import Scribe
from tests.support.wire import request

LARGE = request({"action": "echo", "value": "x" * 200_000}, connection="keep-alive")


@pytest.fixture
def trace() -> Trace:
    return recorded(CONVERSATION)


@pytest.mark.parametrize(
    "script",
    [
        CONVERSATION,
        [request({"action": "echo"})],
        [ASK, b"\x00\x00", ASK],
        [ASK[:20], None],
        [LARGE[:70_000], LARGE[70_000:]],
    ],
    ids=["pipelined", "one-shot", "broken", "truncated", "large"],
)
def test_a_conversation_takes_the_same_transitions_again(script):
    verdicts = list(replay(recorded(script)))
    assert [verdict.differences for verdict in verdicts] == [[]]
    assert verdicts[0].compared >= 1


def test_a_trace_whose_bytes_were_changed_is_found_out(trace):
    call = next(e for e in trace.events if e.name == SYSCALL and e.data.get("bytes"))
    call.data["bytes"] = "ff"
    assert any("transition" in difference for verdict in replay(trace) for difference in verdict.differences)


@pytest.mark.parametrize(("key", "value"), [("input", "EOF_READ"), ("target", "FAILED"), ("state", "CONTENT")])
def test_a_transition_that_was_changed_is_found_out(trace, key, value):
    row = next(e for e in trace.events if e.name == TRANSITION and e.data["machine"] == "RECEIVE")
    row.data[key] = value
    assert any(verdict.differences for verdict in replay(trace))


@pytest.mark.parametrize("changes", [{"state": "LINGERING"}, {"target": "LINGERING"}, {"input": "CONNECTED"}])
def test_a_lifecycle_that_was_changed_is_found_out(trace, changes):
    row = [e for e in trace.events if e.name == TRANSITION and e.data["machine"] == "LIFECYCLE"][-1]
    row.data |= changes
    assert any(verdict.differences for verdict in replay(trace))


def test_a_transition_that_is_missing_is_found_out(trace):
    rows = [e for e in trace.events if e.name == TRANSITION]
    trace.events.remove(next(e for e in reversed(rows) if e.data["machine"] == "RECEIVE"))
    assert any(verdict.differences for verdict in replay(trace))


def test_bytes_that_were_not_kept_are_asked_for():
    with pytest.raises(CannotReplay, match="larger --trace-bytes"):
        list(replay(recorded([ASK], max_bytes=10)))


def subscribed() -> Trace:
    server = Scribe("server")
    server.begin("1", "a", "b")
    for topic in ("one", "two"):
        server.deliver("1", topic, "ABOVE_HIGH", "QUEUE_FULL")
    server.deliver("1", "one", "UNSUBSCRIBED", "REPLY_OWED")  # the second is another one, to the same topic
    return server.trace()


def test_each_subscription_takes_rows_of_its_own():
    (verdict,) = replay(subscribed())
    assert (verdict.checked, verdict.differences) == (6, [])


@pytest.mark.parametrize("changes", [{"state": "CURRENT"}, {"target": "OVER"}, {"input": "CAUGHT_UP"}, {"topic": "x"}])
def test_a_delivery_that_was_changed_is_found_out(changes):
    trace = subscribed()
    trace.events[2].data |= changes
    assert any(verdict.differences for verdict in replay(trace))
