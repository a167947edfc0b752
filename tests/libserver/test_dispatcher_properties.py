"""For any stream, however it is cut: the dispatcher answers as reading event by event does."""

from __future__ import annotations

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.protocol.test_properties import ACTIONS, TYPES, examples, streams_in_parts  # noqa: E402

from .walking import BINARY, BLOCKING, PLAIN, WITH_SESSION, batched, walked  # noqa: E402


@examples(80)
@given(streams_in_parts(), st.booleans(), st.integers(1, 5), st.sampled_from([0, 1, 40, 2**20]))
def test_the_dispatcher_equals_reading_event_by_event(parts, eof, max_requests, max_output):
    expected = walked([b"".join(parts)], eof=eof)
    assert batched(parts, eof=eof, max_requests=max_requests, max_output=max_output) == expected


def test_every_handler_is_asked_for() -> None:
    assert {*PLAIN, *WITH_SESSION, *BINARY, *BLOCKING, "text/json"} == {*ACTIONS, *TYPES}
