"""What is written is read back; what is no trace is refused in words."""

from __future__ import annotations

import io

import pytest

from study.trace import SYSCALL, BadTrace, Event, encode, head, load

HEAD = head("server", 1_700_000_000.5, "multiconn server", sample=1, max_bytes=10)
ONE = encode(1.23456, SYSCALL, "1", {"call": "recv", "result": 3})
TWO = encode(2, SYSCALL, "2", {"text": "\ud800 \N{DOG FACE}"})


def read(raw: bytes):
    return load(io.BytesIO(raw))


def test_what_is_written_is_read_back():
    trace = read(HEAD + ONE + TWO + ONE)
    assert trace.vantage == "server"
    assert trace.reference == 1_700_000_000.5
    assert trace.head["trace"]["common_fields"]["max_bytes"] == 10
    assert not trace.truncated
    assert trace.events[0] == Event(1.235, SYSCALL, "1", {"call": "recv", "result": 3})
    assert {group: len(events) for group, events in trace.groups.items()} == {"1": 2, "2": 1}
    assert trace.events[1].data == {"text": "\ud800 \N{DOG FACE}"}


def test_a_trace_is_a_json_text_sequence():
    for record in (HEAD, ONE):
        assert record.startswith(b"\x1e{")
        assert record.endswith(b"}\n")
        assert record.count(b"\n") == 1


def test_a_last_record_that_was_not_written_whole_is_left_out():
    for cut in range(1, len(ONE)):
        trace = read(HEAD + ONE + ONE[:cut])
        assert trace.truncated
        assert len(trace.events) == 1


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "does not begin"),
        (b"hello", "does not begin"),
        (HEAD[:-1], "cut off"),
        (b"\x1e{}\n", "no qlog head"),
        (b"\x1e[]\n", "no qlog head"),
        (HEAD.replace(b"events-1", b"events-9"), "event schema"),
        (HEAD + b"\x1enot json\n", "record 2"),
        (HEAD + b"\x1e{}\n", "record 2 of the trace is no event"),
        (HEAD + ONE + b"\x1e[]\n", "record 3 of the trace is no event"),
        (HEAD + ONE.replace(b"1.235", b'"x"'), "no event"),
    ],
)
def test_what_is_no_trace_is_refused_in_words(raw, words):
    with pytest.raises(BadTrace, match=words):
        read(raw)
