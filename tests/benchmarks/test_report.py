"""Is the terminal told of every server, and of what must be known to read it?"""

from __future__ import annotations

from benchmarks.report import lines
from benchmarks.results import Summary, summarize
from benchmarks.stored import Run
from benchmarks.visit import Visit


def test_the_terminal_is_told_of_every_server_and_of_what_must_be_known(run: Run) -> None:
    told = "\n".join(lines(run.summaries()))
    assert "2.31" in told
    assert "the generator was the bottleneck (its core 95% busy, the server's 50%)" in told
    assert "BROKEN: it could not be started: no trio" in told


def of_two(rounds: int, generator_cpu: float) -> list[Summary]:
    """Our server beside the one before: as many requests per second, at nine tenths of the processor time."""
    us = {"before": 10.0, "ours": 9.0}
    visits = [
        Visit("oneshot", peer, number, 1000.0, us[peer], 0.5, generator_cpu, requests=1000)
        for number in range(rounds)
        for peer in us
    ]
    return summarize(visits)


def test_a_change_is_told_to_the_thousandth_and_what_was_not_visited_has_no_column() -> None:
    told = lines(of_two(3, generator_cpu=0.5))
    assert told[2].split()[:6] == ["peer", "req/s", "x", "before", "(min..max)", "by"]
    assert "uvloop" not in told[2]
    assert ["ours", "1,000", "1.000", "(1.00..1.00)", "1.111"] in [line.split()[:5] for line in told]


def test_where_the_generator_was_the_limit_processor_time_comes_first() -> None:
    told = [line for line in lines(of_two(3, generator_cpu=0.95)) if "bottleneck" not in line]
    assert "x before by cpu" in told[2]
    assert [line.split()[0] for line in told[3:]] == ["ours", "before"]
    assert told[3].split()[2:5] == ["1.111", "(1.11..1.11)", "1.000"]


def test_of_an_empty_run_there_is_nothing_to_tell() -> None:
    assert lines([]) == []
