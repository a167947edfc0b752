"""How are deliveries, stalled subscribers and waiting messages told to a person at a terminal?

The first table has a block per row, a line per server, and what must be known to read it. The second, below it, is what
can be compared with another day's: all relative to Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.fanout.servers import BASE, OURS
from benchmarks.fanout.stalled import P99_MOST, RATE_LEAST, Effect
from benchmarks.fanout.waiting import Held
from benchmarks.results import Ratio, Summary

__all__ = ["by_row", "effect_lines", "held_lines", "overview"]

#: Of a visit that counts for nothing, before the reason.
WRONG = "NOT DELIVERED AS IT SHOULD BE"


def by_row(summaries: Iterable[Summary]) -> list[str]:
    """A block per row: its deliveries a second, their 99th percentile, the server's time for one."""
    lines: list[str] = []
    row = ""
    for one in summaries:
        if one.load != row:
            row = one.load
            heading = f"{'peer':<18}{'deliveries/s':>13}{f'x {BASE}':>9}{'(min..max)':>14}"
            lines += ["", f"{_words(row)}:", f"{heading}{'p99 us':>10}{f'x {BASE}':>9}{'cpu us':>9}{'driver':>8}"]
        lines.append(_line(one))
        lines += [f"{'':<18}  {note}" for note in _notes(one)]
    return lines


def _words(row: str) -> str:
    subscribers, _, in_flight = row.partition("x")
    return f"{subscribers} subscribers, {in_flight} in flight"


def _line(one: Summary) -> str:
    if not one.rounds:
        return f"{one.peer:<18}{'-':>13}"
    rate, p99 = one.ratios.get(BASE), one.p99_ratios.get(BASE)
    spread = f"({rate.low:.2f}..{rate.high:.2f})" if rate else ""
    return (
        f"{one.peer:<18}{one.rate:>13,.0f}{_ratio(rate):>9}{spread:>14}"
        f"{one.p99_us:>10,.0f}{_ratio(p99):>9}{one.cpu_us:>9.2f}{one.generator_cpu:>8.0%}"
    )


def _ratio(ratio: Ratio | None) -> str:
    return f"{ratio.median:.2f}" if ratio else "-"


def _notes(one: Summary) -> list[str]:
    notes = []
    if one.generator_bound:
        notes.append(
            f"the driver was the bottleneck (the server's core {one.server_cpu:.0%} busy): the server can do more"
        )
    return notes + [f"{WRONG}: {reason}" for reason in one.broken]


#: The tables of the overview, each with what stands in a cell.
FIGURES: dict[str, Callable[[Summary], str]] = {
    f"deliveries/s, x {BASE}": lambda one: _ratio(one.ratios.get(BASE)),
    f"p99, x {BASE}": lambda one: _ratio(one.p99_ratios.get(BASE)),
    "cpu us a delivery": lambda one: f"{one.cpu_us:.2f}" if one.rounds else "-",
}


def overview(summaries: Iterable[Summary]) -> list[str]:
    """Rows by servers: deliveries a second and 99th percentile relative to Redis, and processor time for a delivery."""
    table: dict[str, dict[str, Summary]] = {}
    for one in summaries:
        table.setdefault(one.load, {})[one.peer] = one
    peers = list(dict.fromkeys(peer for row in table.values() for peer in row))
    widths = {peer: max(len(peer), 6) + 2 for peer in peers}
    lines: list[str] = []
    for title, figure in FIGURES.items():
        lines += ["", f"{title:<24}" + "".join(f"{peer:>{width}}" for peer, width in widths.items())]
        for row, own in table.items():
            cells = ((figure(own[peer]) if peer in own else "-", width) for peer, width in widths.items())
            lines.append(f"{row:<24}" + "".join(f"{cell:>{width}}" for cell, width in cells))
    return lines


def effect_lines(effects: Sequence[Effect]) -> list[str]:
    """Messages a second and 99th percentile without and with stalled subscribers; of ours, whether it holds."""
    rate = f"{'published/s':>12}{'with them':>11}{'ratio':>8}"
    lines = [f"{'peer':<18}{rate}{'p99 us':>11}{'with them':>11}{'ratio':>8}{'cut':>6}"]
    for one in effects:
        without, with_them = one.without.rate / one.reading, one.with_them.rate / one.reading
        lines.append(
            f"{one.peer:<18}{without:>12,.0f}{with_them:>11,.0f}{one.rate:>8.3f}"
            f"{one.without.p99_us:>11,.0f}{one.with_them.p99_us:>11,.0f}{one.p99:>8.3f}{one.cut:>6}"
        )
        lines += [f"{'':<18}  {WRONG}: {reason}" for reason in one.broken]
        if one.peer == OURS:
            verdict = "holds" if one.holds else "DOES NOT HOLD"
            lines.append(f"{'':<18}  {verdict}: rate at least {RATE_LEAST:.2f}, p99 at most {P99_MOST:.2f} times")
    return lines


def held_lines(held: Held) -> list[str]:
    """What the server holds for subscribers that do not read."""
    unread = held.unread / held.stalled
    lines = [
        f"{held.stalled:,} subscribers that do not read, {held.messages:,} messages, {held.frame:,.0f} bytes as sent",
        f"resident with idle connections   {held.idle / 2**20:>10,.1f} MiB",
        f"resident when they wait          {held.held / 2**20:>10,.1f} MiB",
        f"taken by the kernel              {unread:>10,.0f} bytes per subscriber",
        f"messages that wait               {held.waiting / held.stalled:>10,.1f} per subscriber",
        f"held for each of them            {held.per_message:>10,.2f} bytes",
    ]
    return lines + ([f"{WRONG}: {held.broken}"] if held.broken else [])
