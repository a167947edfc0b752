"""What came out of a run is built once; what follows from it is computed."""

import dataclasses
import signal

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.outcome import together
from multiconn.loadtest.profile import Stage
from tests.multiconn.loadtest.runs import finished, histogram


def test_it_is_not_changed_once_it_is_there():
    with pytest.raises(dataclasses.FrozenInstanceError):
        finished().server_cpu = 0.5


def test_the_target_is_the_mean_over_the_measured_window():
    ramp = Config(rate=100.0, warmup=0.0, duration=10.0, stages=(Stage(10.0, 300.0),))
    assert finished(config=ramp, duration_s=10.0).target_rate == pytest.approx(200.0)
    assert finished(config=Config(rate=100.0)).target_rate == pytest.approx(100.0)
    assert finished().target_rate is None


def test_errors_have_every_name_and_those_of_connections_too():
    outcome = finished(failed=3)
    outcome.connections.errors.add("reset", outcome.measured.errors.kept["reset"][0])
    assert outcome.errors["reset"] == 4
    assert outcome.errors["bad_prefix"] == 0


def test_thresholds_are_judged_on_the_whole_run():
    outcome = finished(config=Config(thresholds=("error_rate<=1%", "response.p99<1ms", "achieved>900")))
    assert [(each.observed, each.ok) for each in outcome.thresholds] == [
        (0.01, True),
        (pytest.approx(0.0015, rel=0.01), False),
        (990.0, True),
    ]


def test_workers_make_one_run_and_theirs_stay_as_they_were():
    parts = [
        finished(cpu=0.2, loop_lag=histogram(5), listen_overflows=1),
        finished(ok=10, failed=5, cpu=0.9, loop_lag=histogram(7), interrupted=signal.SIGINT, duration_s=2.0),
    ]
    whole = together(parts, Config(workers=2), "load", server_cpu=0.7)
    assert whole.accounting == (1015, 1015, 1000, 15, 0, 0)
    assert (whole.measured.ok, whole.measured.errors.total, whole.connections.opened) == (1000, 15, 200)
    assert (whole.window_ok, whole.duration_s, whole.cpu, whole.server_cpu) == (1000, 2.0, 0.9, 0.7)
    assert (whole.interrupted, whole.listen_overflows, whole.config.workers) == (signal.SIGINT, 1, 2)
    assert whole.loop_lag.counts == {5: 1, 7: 1}
    assert (parts[0].measured.ok, parts[0].loop_lag.count, parts[0].connections.opened) == (990, 1, 100)
