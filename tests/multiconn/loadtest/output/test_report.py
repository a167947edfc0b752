"""What a person sees: one screen, the right words, and nothing that did not happen."""

import signal

import pytest

from multiconn.commands.load_exit_code import exit_code
from multiconn.loadtest.config import CLOSED_LABEL, Config
from multiconn.loadtest.measure.errors import NAMES
from multiconn.loadtest.output.report import header, report
from multiconn.loadtest.output.summary import summary
from tests.multiconn.loadtest.runs import finished


def test_the_screen_fits_and_has_what_one_looks_for():
    lines = report(finished()).splitlines()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 110
    text = "\n".join(lines)
    for words in (
        "990 replies/s",
        "10 failed",
        "p99.9",
        "1.50 ms",
        "10  reset",
        "connection 7",
        "valid; ",
        CLOSED_LABEL,
    ):
        assert words in text


def test_errors_that_did_not_occur_are_not_listed():
    text = report(finished())
    assert [name for name in NAMES if name in text] == ["reset"]
    assert "errors     none" in report(finished(failed=0))


def test_fast_failures_have_a_line_of_their_own():
    lines = {line.split()[0]: line for line in report(finished(ok=10, failed=990)).splitlines() if line.strip()}
    assert "1.50 ms" in lines["response"]
    assert "50.0 us" in lines["failed"]


def test_a_run_without_connections_shows_no_empty_table():
    text = report(finished(ok=0, failed=0, opened=0, duration_s=0.0))
    assert "latency " not in text.replace(CLOSED_LABEL, "")
    assert "no connection ever succeeded" in text


def test_an_interrupted_run_says_by_what():
    outcome = finished(interrupted=signal.SIGTERM)
    assert "interrupted by SIGTERM; valid" in report(outcome)
    assert exit_code(outcome) == 143
    assert summary(outcome, [], "test")["run"]["interrupted"] is True


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(), "100 connections, for 10 s after 1 s of warm-up"),
        (
            Config(connections=1, requests=5, duration=None, warmup=0, pipeline=4),
            "1 connection x 4 in flight, 5 requests",
        ),
        (
            Config(rate=500.0, workers=2),
            "100 connections at 500/s (constant), for 10 s after 1 s of warm-up, 2 workers",
        ),
        (Config(requests=2000, duration=2.5, warmup=0), "100 connections, 2,000 requests or 2.5 s"),
    ],
)
def test_the_header_says_what_is_about_to_be_done(config, words):
    assert header(config, "tcp://h:1") == f"load tcp://h:1: {words}"


def test_thresholds_and_what_they_observed_are_on_the_screen():
    outcome = finished(config=Config(thresholds=("response.p99<1ms", "error_rate<=1%")))
    text = report(outcome)
    assert "threshold response.p99<1ms: FAILED (0.0015)" in text
    assert "threshold error_rate<=1%: ok (0.01)" in text
    told = summary(outcome, [], "test")["verdict"]["thresholds"]
    assert told[1] == {
        "expr": "error_rate<=1%",
        "observed": 0.01,
        "ok": True,
    }
    assert exit_code(outcome) == 99


def test_what_to_do_is_said_in_lines_that_fit():
    text = report(finished(cpu=0.97, server_cpu=0.91, local=True, cores=2))
    assert "generator at 97% of a core, server at 91%, loop lag" in text
    assert max(map(len, text.splitlines())) <= 110
    assert "or measure latency at a rate that it can keep (-r 330)" in " ".join(text.split())
