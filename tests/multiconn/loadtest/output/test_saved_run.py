"""A run's directory is read back whole, or up to where it was broken off."""

import json

import pytest

from multiconn.loadtest.output import files, saved_run
from tests.multiconn.loadtest.runs import interval


def test_a_run_that_was_killed_is_read_up_to_its_last_whole_line(writer):
    writer.interval(interval(1.0))
    with (writer.directory / files.TIMESERIES).open("a") as file:
        file.write('{"t": 2.0, "pha')
    run = saved_run.read_run(writer.directory)
    assert run.summary is None
    assert [line["t"] for line in run.intervals] == [1.0]


@pytest.mark.parametrize("summary", [b"", b'{"schema": "appl', b"\xff\xfe"])
def test_without_a_whole_summary_a_run_is_read_as_one_that_was_killed(writer, summary):
    writer.interval(interval(1.0))
    (writer.directory / files.SUMMARY).write_bytes(summary)
    with (writer.directory / files.TIMESERIES).open("a") as file:
        file.write('{"t": 2.0, "pha')
    told = []
    run = saved_run.read_run(writer.directory, told.append)
    assert run.summary is None
    assert [line["t"] for line in run.intervals] == [1.0]
    assert len(told) == 2
    assert "summary.json is not whole" in told[0]
    assert "timeseries.jsonl: line 2, the last, is cut; it is left out" in told[1]


def test_half_a_summary_alone_is_no_run(tmp_path):
    (tmp_path / files.SUMMARY).write_text("")
    with pytest.raises(ValueError, match=r"summary.json is not whole and no timeseries.jsonl is there"):
        saved_run.read_run(tmp_path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no run"):
        saved_run.read_run(tmp_path)
    (tmp_path / files.SUMMARY).write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match="no summary"):
        saved_run.read_run(tmp_path)


def test_a_broken_line_in_the_middle_is_named(writer):
    writer.interval(interval(1.0))
    with (writer.directory / files.TIMESERIES).open("a") as file:
        file.write("nonsense\n{}\n")
    with pytest.raises(ValueError, match=r"timeseries.jsonl:2 is not"):
        saved_run.read_run(writer.directory)


def test_a_summary_is_read_back(writer):
    writer.complete({"schema": "appload/1", "name": "\U0001f436"})
    assert saved_run.read_run(writer.directory).summary["name"] == "\U0001f436"
    assert json.loads((writer.directory / files.SUMMARY).read_text())["schema"] == "appload/1"
