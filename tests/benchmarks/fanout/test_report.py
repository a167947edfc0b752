"""Do the tables name every server, what it is compared with, and everything that was not delivered?"""

from __future__ import annotations

from benchmarks.fanout.drive import Driven
from benchmarks.fanout.report import by_row, effect_lines, held_lines, overview
from benchmarks.fanout.servers import BASE, OURS, PEERS
from benchmarks.fanout.stalled import effects, rows
from benchmarks.fanout.waiting import Held
from benchmarks.results import Summary, summarize
from benchmarks.visit import Visit


def visits() -> list[Visit]:
    found = []
    for number in range(3):
        found += [
            Visit("100x1", BASE, number, rate=200_000, cpu_us=4.0, p99_us=800, requests=9),
            Visit("100x1", OURS, number, rate=150_000, cpu_us=6.0, p99_us=1000, requests=9, generator_cpu=0.5),
            Visit("1000x16", BASE, number, rate=400_000, cpu_us=1.0, p99_us=9000, generator_cpu=0.99, server_cpu=0.7),
            Visit("1000x16", OURS, number, broken="3 lost"),
        ]
    return found


def summaries() -> list[Summary]:
    return summarize(visits(), bases=(BASE,))


def test_each_row_has_a_block_and_each_server_a_line() -> None:
    lines = by_row(summaries())
    assert lines[1] == "100 subscribers, 1 in flight:"
    assert lines[3].split() == ["redis", "200,000", "1.00", "(1.00..1.00)", "800", "1.00", "4.00", "0%"]
    assert lines[4].split() == ["ours", "150,000", "0.75", "(0.75..0.75)", "1,000", "1.25", "6.00", "50%"]
    assert lines[6] == "1000 subscribers, 16 in flight:"
    assert len({len(line) for line in lines[2:5]}) == 1, "columns are aligned"


def test_a_driver_at_its_limit_and_a_lost_delivery_are_told() -> None:
    lines = by_row(summaries())
    assert lines[9].strip() == "the driver was the bottleneck (the server's core 70% busy): the server can do more"
    assert lines[10].split() == ["ours", "-"]
    assert lines[11].strip() == "NOT DELIVERED AS IT SHOULD BE: 3 lost"


def test_the_overview_has_rows_by_servers_three_times() -> None:
    lines = [line.split() for line in overview(summaries())]
    assert lines[1] == ["deliveries/s,", "x", "redis", "redis", "ours"]
    assert lines[2:4] == [["100x1", "1.00", "0.75"], ["1000x16", "1.00", "-"]]
    assert lines[6] == ["100x1", "1.00", "1.25"]
    assert lines[9:11] == [["cpu", "us", "a", "delivery", "redis", "ours"], ["100x1", "4.00", "6.00"]]


def test_without_redis_there_is_no_ratio() -> None:
    lone = summarize([Visit("5x1", OURS, 0, rate=10.0, cpu_us=1.0, p99_us=2.0)], bases=(BASE,))
    assert by_row(lone)[-1].split() == ["ours", "10", "-", "2", "-", "1.00", "0%"]


def test_the_widest_table_fits_a_line() -> None:
    every = [Visit("1000x16", name, 0, rate=1.0, cpu_us=1.0, p99_us=1.0) for name in PEERS]
    found = summarize(every, bases=(BASE,))
    assert max(len(line) for line in [*by_row(found), *overview(found)]) <= 120


def test_a_stalled_subscribers_effect_is_told_and_judged() -> None:
    met = []
    for name, slower in ((BASE, 0.8), (OURS, 0.9)):
        for at, row in enumerate(rows(100, 1, 1)):
            rate = 99_000 * (slower if at else 1.0)
            visit = Visit(row.name, name, 0, rate=rate, cpu_us=1.0, p99_us=500.0)
            met.append((row, PEERS[name], Driven(visit, at)))
    lines = effect_lines(effects(met))
    assert lines[1].split() == ["redis", "1,000", "800", "0.800", "500", "500", "1.000", "1"]
    assert lines[2].split() == ["ours", "1,000", "900", "0.900", "500", "500", "1.000", "1"]
    assert lines[3].strip() == "DOES NOT HOLD: rate at least 0.95, p99 at most 1.10 times"


def test_what_waits_is_told_per_subscriber_and_message() -> None:
    held = Held(stalled=100, messages=10, frame=50.0, idle=2**20, held=2**20 + 4500, unread=100 * 50, broken="1 lost")
    lines = held_lines(held)
    assert lines[0] == "100 subscribers that do not read, 10 messages, 50 bytes as sent"
    assert lines[4].split() == ["messages", "that", "wait", "9.0", "per", "subscriber"]
    assert lines[5].split() == ["held", "for", "each", "of", "them", "5.00", "bytes"]
    assert lines[6].endswith("1 lost")
