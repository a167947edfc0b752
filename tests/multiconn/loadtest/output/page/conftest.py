"""Runs that were saved."""

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.output import files
from multiconn.loadtest.sink import Plan


@pytest.fixture
def save(tmp_path):
    """Writes a run of these intervals, with a summary or as one that was killed."""

    def write(intervals, summary=None, name="run"):
        writer = files.Writer(tmp_path / name, Config().percentiles)
        writer.begin(Plan(Config(), "tcp://127.0.0.1:1", 1_700_000_000.0))
        for each in intervals:
            writer.interval(each)
        writer.end(None)
        if summary is not None:
            writer.complete(summary)
        return writer.directory

    return write
