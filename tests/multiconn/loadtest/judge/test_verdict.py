"""The verdict says which side was the limit, by rules simple enough to check by hand."""

import pytest

from multiconn.commands.load_options import _rate
from multiconn.loadtest.judge.verdict import BUSY, IDLE, STARVED, Figures, _round_down, judge

FINE = Figures(
    duration_s=10.0,
    replies=1000,
    connections_opened=10,
    connections_wanted=10,
    connections_peak=10,
    cpu=0.4,
    lag_p99_s=0.0005,
    response_p99_s=0.02,
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
    assert judge(FINE._replace(lag_p99_s=0.05, response_p99_s=1.0)).valid


def test_without_replies_nothing_is_known():
    verdict = judge(FINE._replace(replies=0, cpu=1.0))
    assert (verdict.valid, verdict.bottleneck) == (False, "unknown")
    assert "no reply" in verdict.reasons[0]


def test_connections_that_never_came_make_it_another_test_than_asked_for():
    verdict = judge(FINE._replace(connections_peak=7))
    assert not verdict.valid
    assert "7 of 10" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("overflows", "why", "advice"),
    [
        (12, "the server's accept queue was full (ListenOverflows rose by 12)", True),
        (None, "the server's accept queue was full, or packets were lost", True),
        (0, "packets were lost", False),
    ],
)
def test_connections_that_waited_for_a_second_syn_name_the_queue(overflows, why, advice):
    verdict = judge(FINE._replace(syn_retries=97, listen_overflows=overflows))
    assert (verdict.valid, verdict.bottleneck) == (False, "server")
    (reason,) = verdict.reasons
    assert reason.startswith(f"97 connections took as long as a SYN that is sent again (1 s, 3 s, 7 s): {why}")
    assert ("raise its backlog (--backlog, net.core.somaxconn)" in reason) == advice


def test_connections_that_timed_out_name_the_queue_if_one_was_full():
    verdict = judge(FINE._replace(connect_timeouts=5, listen_overflows=3))
    assert "5 connections were not made in time: the server's accept queue was full" in verdict.reasons[0]
    for overflows in (0, None):
        assert judge(FINE._replace(connect_timeouts=5, listen_overflows=overflows)).valid


def test_a_full_queue_of_somebody_else_is_not_ours():
    assert judge(FINE._replace(listen_overflows=1000)).valid


def test_a_run_that_was_given_up_says_why():
    assert judge(FINE._replace(stopped="the server has gone")).reasons == ["the server has gone"]


def test_a_moment_is_too_short_to_tell_who_was_busy():
    assert judge(FINE._replace(duration_s=0.01, cpu=1.0)) == (True, [], "unknown")


def test_a_server_that_was_never_there_is_named_as_that():
    verdict = judge(FINE._replace(connections_opened=0, connections_peak=0, replies=0))
    assert verdict == (False, ["no connection ever succeeded"], "unknown")


# --- kept from running ---------------------------------------------------------------------


def test_a_generator_that_got_no_processor_is_named_although_it_used_little():
    verdict = judge(FINE._replace(cpu=0.2, run_delay=STARVED))
    assert (verdict.valid, verdict.bottleneck) == (False, "client")
    assert "no processor for 25%" in verdict.reasons[0]
    assert judge(FINE._replace(run_delay=STARVED / 2)).valid


def test_a_starved_generator_is_named_also_when_nothing_came_back():
    assert judge(FINE._replace(replies=0, run_delay=0.9)).bottleneck == "client"


# --- open ----------------------------------------------------------------------------------

OPEN = FINE._replace(target=1000.0, scheduled=10_000, sent=10_000, achieved=1000.0)


def test_a_schedule_that_was_kept_has_no_bottleneck():
    assert judge(OPEN) == (True, [], "none")


def test_a_slow_server_is_named_and_what_was_never_sent_makes_it_invalid():
    verdict = judge(OPEN._replace(sent=5000, achieved=500.0))
    assert (verdict.valid, verdict.bottleneck) == (False, "server")
    assert "only 5,000 of 10,000" in verdict.reasons[0]
    assert "the server answered 500/s: ask for less than that" in verdict.reasons[0]
    gone = judge(OPEN._replace(sent=5000, achieved=500.0, connections_failed=350))
    assert "connections were missing: the errors say why" in gone.reasons[0]


def test_replies_that_come_late_are_in_the_latencies_and_the_run_is_valid():
    assert judge(OPEN._replace(achieved=900.0)) == (True, [], "server")


@pytest.mark.parametrize(
    ("scheduled", "replies", "p50", "bottleneck"),
    [
        (492, 487, 0.005, "none"),  # arrivals by chance: fewer were due than the rate says, and five are on their way
        (10_000, 9_905, 0.001, "none"),
        (10_000, 9_890, 0.001, "server"),
        (10_000, 9_500, 0.25, "server"),  # 5 % over its capacity for ten seconds: half of the waiting is the median's
        (10_000, 9_500, 0.5, "none"),  # every reply takes half a second, and five hundred are on their way
    ],
)
def test_what_is_on_its_way_at_the_end_is_not_late(scheduled, replies, p50, bottleneck):
    seconds = scheduled / 1000
    open_run = OPEN._replace(scheduled=scheduled, sent=scheduled, duration_s=seconds, response_p50_s=p50)
    assert judge(open_run._replace(achieved=replies / seconds)) == (True, [], bottleneck)


def test_who_thinks_longer_than_he_waits_is_not_held_up_by_the_server():
    assert judge(FINE._replace(think_s=0.03, response_p50_s=0.02)) == (True, [], "none")
    assert judge(FINE._replace(think_s=0.01, response_p50_s=0.02)) == (True, [], "server")


def test_requests_that_left_late_by_the_generator_s_own_doing_are_its_fault():
    verdict = judge(OPEN._replace(send_delay_p99_s=0.011, lag_p99_s=0.002))
    assert (verdict.valid, verdict.bottleneck) == (False, "client")
    assert "sent late" in verdict.reasons[0]


def test_a_generator_at_its_ceiling_is_the_bottleneck_of_a_schedule_it_did_not_keep():
    verdict = judge(OPEN._replace(sent=5000, achieved=500.0, cpu=1.0))
    assert (verdict.valid, verdict.bottleneck) == (False, "client")
    assert len(verdict.reasons) == 2


def test_descriptors_or_ports_that_ran_out_here_name_the_client():
    verdict = judge(FINE._replace(refused_by_us=3))
    assert not verdict.valid
    assert verdict.bottleneck == "client"
    assert "3 connections were not made for want of descriptors or ports here" in verdict.reasons[0]


# --- what to do ------------------------------------------------------------------------------

LIMIT = FINE._replace(cpu=0.97, achieved=21_797.0, cores=2, local=True)


@pytest.mark.parametrize(
    ("more", "advice"),
    [
        ({}, "load from another machine, or measure latency at a rate that it can keep (-r 7200)"),
        ({"cores": 8}, "give it more processes (-w 7), or measure latency"),  # the server has the eighth
        ({"cores": 8, "local": False}, "give it more processes (-w 8)"),
        ({"cores": 4, "workers": 3}, "load from another machine"),
        ({"cores": 0}, "load from another machine"),  # nobody knows
        ({"target": 30_000.0, "scheduled": 10, "sent": 10}, "load from another machine, or ask for less (-r 10k)"),
        ({"achieved": 1.5}, "load from another machine"),
    ],
)
def test_who_is_at_the_limit_is_told_what_to_do(more, advice):
    (reason,) = judge(LIMIT._replace(**more)).reasons
    assert "was the limit (97% of a core): the rate is its ceiling, and the server can do at least that; " in reason
    assert advice in reason


@pytest.mark.parametrize(
    ("more", "advice"),
    [
        ({}, "stop what else runs here, or load from another machine, or measure latency at a rate"),
        ({"workers": 2}, "2 processes and the server share 2 cores: use -w 1, or"),
        ({"workers": 9, "cores": 8}, "9 processes and the server share 8 cores: use -w 7, or"),
        ({"workers": 2, "local": False}, "stop what else runs here"),
        ({"workers": 3, "local": False}, "3 processes share 2 cores: use -w 2, or"),
    ],
)
def test_who_gets_no_core_is_not_told_to_ask_for_more_processes(more, advice):
    (reason,) = judge(LIMIT._replace(cpu=0.6, run_delay=0.4, **more)).reasons
    assert "got no processor for 40% of the time" in reason
    assert advice in reason
    assert "more processes" not in reason


def test_a_server_that_was_as_busy_is_not_called_idle():
    verdict = judge(LIMIT._replace(server_cpu=0.97))
    assert (verdict.valid, verdict.bottleneck) == (False, "unknown")
    assert "load generator (97% of a core) and server (97%) were both at their limit" in verdict.reasons[0]
    assert judge(LIMIT._replace(server_cpu=BUSY - 0.01)).bottleneck == "client"
    assert judge(LIMIT._replace(server_cpu=0.97, refused_by_us=1)).bottleneck == "client"


@pytest.mark.parametrize(
    ("rate", "words"),
    [(10_898, "10k"), (8470.9, "8400"), (999, "990"), (57, "57"), (1.2, "1"), (0.3, "1"), (2.2e6, "2200k")],
)
def test_the_rate_that_is_proposed_is_one_that_the_command_takes(rate, words):
    assert _round_down(rate) == words
    assert _rate(words) <= max(rate, 1)
