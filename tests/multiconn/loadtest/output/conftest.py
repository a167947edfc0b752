"""A writer of a run that begins in a directory of its own."""

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.output import files
from multiconn.loadtest.sink import Plan

PERCENTS = (50.0, 99.9)


@pytest.fixture
def writer(tmp_path):
    writer = files.Writer(tmp_path / "a" / "run", PERCENTS)
    writer.begin(Plan(Config(), "tcp://127.0.0.1:1", 1_700_000_000.25))
    yield writer
    writer.close()
    writer.release()
