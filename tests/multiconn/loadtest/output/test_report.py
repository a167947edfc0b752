"""What a person sees: one screen, the right words, and nothing that did not happen."""

import signal
from datetime import UTC, datetime

import pytest

from multiconn.loadtest.config import CLOSED_LABEL, Config
from multiconn.loadtest.measure.errors import NAMES, Incident
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import CONNECTING, MEASURING, Interval
from multiconn.loadtest.measure.ledger import Connections, Ledger
from multiconn.loadtest.outcome import Outcome, exit_code, summary
from multiconn.loadtest.output.report import bytes_text, header, progress, report, time_text


def finished(*, ok=990, failed=10, opened=100, **more):
    """A run of one second on 100 connections, with some resets."""
    measured, connections = Ledger(), Connections()
    connections.wanted = opened or 100
    for _ in range(opened):
        connections.opened_one(250_000, again=False)
    measured.sent = ok + failed
    if ok:
        measured.answered(1_500_000, 1_500_000, ok)
    if failed:
        measured.fail("reset", Incident(0.5, 7, "Connection reset by peer"), [50_000] * failed)
    facts = {"config": Config(), "duration_s": 1.0, "cpu": 0.5, "window_ok": ok, "window_replies": ok, **more}
    return Outcome(
        target="tcp://127.0.0.1:1",
        started_at=datetime.now(UTC),
        measured=measured,
        warmup=Ledger(),
        accounting=measured.balance(0),
        connections=connections,
        schedule_sha256="",
        **facts,
    )


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
    assert summary(outcome, [])["run"]["interrupted"] is True


def test_an_interrupt_comes_before_every_other_exit_code_but_internal_errors():
    assert exit_code(finished(ok=0, failed=0, opened=0, interrupted=signal.SIGINT)) == 130
    assert exit_code(finished(ok=0, failed=0, opened=0)) == 3
    assert exit_code(finished()) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (1e-9, "0.00 us"), (87.34e-6, "87.3 us"), (0.00099951, "1.00 ms"), (0.0012345, "1.23 ms"),
        (0.0999, "99.9 ms"), (0.12345, "123 ms"), (0.9999, "1.00 s"), (61, "61.0 s"), (1800, "30.0 m"),
        (3600 * 11, "11.0 h"),
    ],
)  # fmt: skip
def test_times_have_three_digits_and_the_unit_that_suits(seconds, text):
    assert time_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 kB"), (5 * 1024**2, "5.0 MB"), (2**42, "4,096.0 GB")]
)
def test_bytes_are_in_units_of_1024(count, text):
    assert bytes_text(count) == text


def test_progress_says_what_it_is_doing():
    latencies = Histogram()
    latencies.record(1_000_000, 50)
    measuring = progress(Interval(2, 1, MEASURING, ok=50, replies=50, response=latencies))
    assert "50/s" in measuring
    assert "p99 1.00 ms" in measuring
    assert "failed" not in measuring
    assert "3 of 10 connections" in progress(Interval(2, 1, CONNECTING, open=3, wanted=10))
    assert "no replies" in progress(Interval(2, 1, MEASURING))
    wrong = progress(Interval(2, 1, MEASURING, failed=7, replies=7))
    assert "no good replies" in wrong
    assert "7 failed" in wrong
    late = progress(Interval(2, 1, MEASURING, target=1000.0, dropped=2, waiting=3))
    assert "of 1,000/s" in late
    assert "2 dropped  3 late" in late


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
    assert summary(outcome, [])["verdict"]["thresholds"][1] == {"expr": "error_rate<=1%", "observed": 0.01, "ok": True}
    assert exit_code(outcome) == 99


def test_exit_codes_are_the_first_that_applies():
    thresholds = Config(thresholds=("failed<=0",))
    assert exit_code(finished(config=thresholds)) == 99
    assert exit_code(finished(config=thresholds, cpu=1.0)) == 5
    assert exit_code(finished(cpu=1.0)) == 0
    assert exit_code(finished(config=Config(require_valid=True), cpu=1.0)) == 5
    wrong = finished(config=thresholds, cpu=1.0)
    wrong.measured.errors.counts["verify_mismatch"] = 1
    assert exit_code(wrong) == 4
    assert exit_code(finished(aborted="--abort-on failed>1: 7")) == 99
    assert "--abort-on failed>1: 7" in report(finished(aborted="--abort-on failed>1: 7"))


def test_what_to_do_is_said_in_lines_that_fit():
    text = report(finished(cpu=0.97, server_cpu=0.91, local=True, cores=2))
    assert "generator at 97% of a core, server at 91%, loop lag" in text
    assert max(map(len, text.splitlines())) <= 110
    assert "or measure latency at a rate that it can keep (-r 330)" in " ".join(text.split())
