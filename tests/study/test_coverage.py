"""Rows are counted, and those that no trace has taken are named."""

from __future__ import annotations

import pytest

from protocol.states import MACHINES
from study import coverage
from study.trace import TRANSITION, Event, Trace
from tests.study.recording import CONVERSATION, recorded
from tests.study.scribe import Scribe


@pytest.fixture
def trace() -> Trace:
    return recorded(CONVERSATION)


def test_rows_are_counted_and_those_never_taken_are_named(trace):
    taken = coverage.count([trace, trace])
    assert taken["RECEIVE", "PROTOHEADER", "PREFIX_READ"] == 6
    lines = list(coverage.report(taken))
    assert "        6  PROTOHEADER --PREFIX_READ--> JSONHEADER" in lines
    assert "    never  OPEN --SHUTDOWN--> DRAINING" in lines
    rows = sum(len(machine.rows) for machine in MACHINES)
    missing = len(coverage.never(taken))
    assert lines[-1] == f"{rows - missing} of {rows} rows taken, {missing} never"


def test_a_row_of_another_version_is_named():
    event = Event(0, TRANSITION, "1", {"machine": "RECEIVE", "state": "OLD", "input": "GO"})
    lines = list(coverage.report(coverage.count([Trace("server", {}, [event])])))
    assert "not in today's tables: RECEIVE OLD on GO" in lines[-1]


def test_rows_of_subscriptions_are_counted_over_all_of_them():
    server = Scribe("server")
    server.begin("1", "a", "b")
    server.deliver("1", "one", "ABOVE_HIGH", "CAUGHT_UP")
    server.deliver("1", "two", "ABOVE_HIGH")
    lines = list(coverage.report(coverage.count([server.trace()])))
    assert "        2  CURRENT --ABOVE_HIGH--> BEHIND" in lines
    assert "    never  BEHIND --OVERRUN--> OVER" in lines
