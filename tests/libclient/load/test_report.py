"""What a person sees: one screen, the right words, and nothing that did not happen."""

import signal
from datetime import UTC, datetime

import pytest

from libclient.load.config import CLOSED_LABEL, Config
from libclient.load.errors import NAMES, Incident
from libclient.load.histogram import Histogram
from libclient.load.outcome import Outcome, exit_code, summary
from libclient.load.report import bytes_text, header, progress, report, time_text
from libclient.load.stats import Connections, Interval, Ledger


def finished(*, ok=990, failed=10, opened=100, **more):
    """A run of one second on 100 connections, with some resets."""
    measured, connections = Ledger(), Connections()
    for _ in range(opened):
        connections.opened_one(250_000, again=False)
    measured.sent = ok + failed
    if ok:
        measured.answered(1_500_000, ok)
    if failed:
        measured.fail("reset", 50_000, Incident(0.5, 7, "Connection reset by peer"), failed)
    measured.close_window()
    facts = {"config": Config(), "duration_s": 1.0, "cpu": 0.5, **more}
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
    measuring = progress(Interval(1, 2, 50, 50, 0, 50, 10, 1_000_000), latencies, "measuring", 10)
    assert "50/s" in measuring
    assert "p99 1.00 ms" in measuring
    assert "failed" not in measuring
    nothing = Interval(1, 2, 0, 0, 0, 0, 3, 0)
    assert "3 of 10 connections" in progress(nothing, Histogram(), "connecting", 10)
    assert "no replies" in progress(nothing, Histogram(), "measuring", 10)
    wrong = progress(Interval(1, 2, 7, 0, 7, 7, 3, 0), Histogram(), "measuring", 10)
    assert "no good replies" in wrong
    assert "7 failed" in wrong


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(), "100 connections, for 10 s after 1 s of warm-up"),
        (
            Config(connections=1, requests=5, duration=None, warmup=0, pipeline=4),
            "1 connection x 4 in flight, 5 requests",
        ),
        (Config(requests=2000, duration=2.5, warmup=0), "100 connections, 2,000 requests or 2.5 s"),
    ],
)
def test_the_header_says_what_is_about_to_be_done(config, words):
    assert header(config, "tcp://h:1") == f"load tcp://h:1: {words}"
