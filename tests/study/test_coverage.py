"""Rows are counted, and those that no trace has taken are named."""

from __future__ import annotations

import pytest

from protocol.states import MACHINES
from study import coverage
from study.trace import TRANSITION, Event, Trace
from tests.study.recording import CONVERSATION, recorded


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
