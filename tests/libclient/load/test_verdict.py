"""The verdict says which side was the limit, by rules simple enough to check by hand."""

import pytest

from libclient.load.verdict import BUSY, IDLE, Figures, judge

FINE = Figures(
    duration_s=10.0,
    replies=1000,
    connections_opened=10,
    connections_wanted=10,
    connections_peak=10,
    cpu=0.4,
    lag_p99_s=0.0005,
    response_p50_s=0.02,
    stopped=None,
)


def test_a_generator_that_waits_was_limited_by_the_server():
    assert judge(FINE) == (True, [], "server")


@pytest.mark.parametrize("cpu", [BUSY, 1.0])
def test_a_generator_that_never_waits_measured_its_own_ceiling(cpu):
    verdict = judge(FINE._replace(cpu=cpu))
    assert (verdict.valid, verdict.bottleneck) == (False, "client")
    assert "ceiling" in verdict.reasons[0]


@pytest.mark.parametrize("cpu", [IDLE, (IDLE + BUSY) / 2])
def test_in_between_nobody_knows(cpu):
    assert judge(FINE._replace(cpu=cpu)) == (True, [], "unknown")


def test_a_generator_kept_from_running_is_named_although_it_used_little_cpu():
    verdict = judge(FINE._replace(cpu=0.2, lag_p99_s=0.05))
    assert (verdict.valid, verdict.bottleneck) == (False, "client")
    assert "50.0 ms" in verdict.reasons[0]


def test_lag_that_is_small_beside_the_latency_spoils_nothing():
    assert judge(FINE._replace(lag_p99_s=0.05, response_p50_s=1.0)).valid


def test_without_replies_nothing_is_known():
    verdict = judge(FINE._replace(replies=0, cpu=1.0))
    assert (verdict.valid, verdict.bottleneck) == (False, "unknown")
    assert "no reply" in verdict.reasons[0]


def test_connections_that_never_came_make_it_another_test_than_asked_for():
    verdict = judge(FINE._replace(connections_peak=7))
    assert not verdict.valid
    assert "7 of 10" in verdict.reasons[0]


def test_a_run_that_was_given_up_says_why():
    assert judge(FINE._replace(stopped="the server has gone")).reasons == ["the server has gone"]


def test_a_moment_is_too_short_to_tell_who_was_busy():
    assert judge(FINE._replace(duration_s=0.01, cpu=1.0)) == (True, [], "unknown")


def test_a_server_that_was_never_there_is_named_as_that():
    verdict = judge(FINE._replace(connections_opened=0, connections_peak=0, replies=0))
    assert verdict == (False, ["no connection ever succeeded"], "unknown")
