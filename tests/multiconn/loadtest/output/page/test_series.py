"""The charts show the right numbers, and no more of them than fit."""

import json

import pytest

from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import CONNECTING, DRAINING, MEASURING, WARMUP
from multiconn.loadtest.output.page import write_html
from multiconn.loadtest.output.page.series import POINTS, ROWS_PER_DECADE, distribution, read_series
from tests.multiconn.loadtest.output.page.runs import RUN, second


def test_every_interval_is_a_point_with_the_histograms_own_percentiles(save):
    data = json.loads(read_series(save(RUN)).json(None))
    assert data["t"] == [0.2, 1.2, 2.2, 3.2, 4.2, 5.2, 5.201]
    assert data["rate"]["achieved"] == [0, 100, 100, 2, 0, 200, None]  # the cut-off piece of a drain is no rate
    assert data["rate"]["target"] == [None, 100, 100, 100, 100, 100, None]
    assert data["rate"]["failed"][3] == 10
    assert data["latency"]["p50"][2] == pytest.approx(0.00149, rel=0.001)
    assert data["latency"]["max"][3] == 0.05
    assert data["latency"]["p99"][4] is None  # nobody was answered: that is no 0
    assert data["latency"]["service_p99"][3] == pytest.approx(0.025, rel=0.001)
    assert data["errors"] == {"reset": [0, 0, 0, 10, 0, 0, 0]}
    assert [phase[0] for phase in data["phases"]] == [CONNECTING, WARMUP, MEASURING, DRAINING]
    assert data["phases"][2][1:] == [1.2, 5.2]
    assert "idle" not in data["connections"]


def test_the_heat_map_has_every_reply_in_its_row(save):
    data = json.loads(read_series(save(RUN)).json(None))["heat"]["columns"]
    assert [sum(column[1:]) for column in data] == [0, 100, 100, 2, 0, 200, 1]
    lowest, *counts = data[3]
    assert 10 ** (lowest / ROWS_PER_DECADE) <= 5_000_000 < 10 ** ((lowest + 1) / ROWS_PER_DECADE)
    assert len(counts) == ROWS_PER_DECADE + 1  # up to the row that is ten times as long


def test_the_distribution_is_of_the_measured_phases_alone_and_ends_with_the_longest(save):
    told = json.loads(read_series(save(RUN)).json(None))["distribution"]["response"]
    assert told[0][0] == 0
    assert told[-1] == [100, pytest.approx(0.7, rel=0.001)]
    assert [value for _, value in told] == sorted(value for _, value in told)
    assert next(value for percent, value in told if percent >= 50) == pytest.approx(0.0015, rel=0.001)
    assert distribution(Histogram()) == []


def test_a_long_run_has_no_more_points_than_fit_and_loses_nothing(save):
    hour = [second(0.2, CONNECTING, seconds=0.2)]
    hour += [second(1.2 + n, MEASURING, 1_000_000 + n, 900_000_000 if n == 333 else 1) for n in range(700)]
    directory = save(hour)
    series = read_series(directory)
    data = json.loads(series.json(None))
    assert series.merged == 2
    assert 350 <= len(data["t"]) <= POINTS
    assert data["latency"]["max"].count(0.9) == 1
    assert sum(sum(column[1:]) for column in data["heat"]["columns"]) == 1400
    assert all(rate == 2 for rate in data["rate"]["achieved"][1:])
    assert series.sums.counts["ok"] == 1400
    page = write_html(directory).read_text(encoding="utf-8")
    assert "each point is 2 of its 701 intervals" in page
    assert len(page) < 250_000
