"""All that watches a run has the same three methods."""

import inspect

import pytest

from multiconn.loadtest.output.files import Writer
from multiconn.loadtest.output.lines import Lines
from multiconn.loadtest.output.live import Dashboard
from multiconn.loadtest.sink import Sink
from tests.multiconn.loadtest.runs import Told


@pytest.mark.parametrize("watcher", [Dashboard, Lines, Told, Writer])
@pytest.mark.parametrize("method", ["begin", "interval", "end"])
def test_it_can_be_told_what_every_sink_is_told(watcher, method):
    ours, theirs = (list(inspect.signature(getattr(each, method)).parameters) for each in (watcher, Sink))
    assert ours == theirs
