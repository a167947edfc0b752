"""What does the page say, before any chart?

In the order of a reader's questions: is it valid, how fast, how long did it take, was everything counted,
what went wrong, which options. It is HTML that is complete without a script, and every word of it that
comes from elsewhere (a target, a server's error text, a command line) is escaped here, in `_e`.

A killed run has no summary: then the page shows the sums of its time series, and guesses
nothing.

Not here: numbers over time (`page.series`), how it looks (`report.css`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Any

from protocol.printable import printable

from ...config import CLOSED_LABEL, Config
from ..records import latency_record
from ..units import bytes_text, time_text
from .series import Series

__all__ = ["text_of"]

#: For a killed run, without its options: the defaults of --percentiles.
_PERCENTS = Config().percentiles

#: What each row of the latency table is.
_KINDS = {
    "response": "from when the request was meant to leave",
    "service": "from when it left",
    "connect": "to open a connection",
    "failed": "until a failed request had failed",
}


def text_of(name: str, summary: dict[str, Any] | None, series: Series, first: dict[str, Any]) -> dict[str, str]:
    """The pieces of text, by the name of their place in `report.html`. `first` has a failure of each name."""
    known = _killed(name, series) if summary is None else _whole(summary)
    return {
        "title": _e(f"Load test of {known.target}"),
        "subtitle": _subtitle(known),
        "verdict": _verdict(known),
        "tiles": _tiles(known),
        "closed": f'<p class="note closed"><strong>{_e(CLOSED_LABEL)}.</strong></p>' if known.is_open is False else "",
        "latency": _latency(known),
        "accounting": _accounting(known),
        "sockets": _sockets(known),
        "thresholds": _thresholds(known),
        "errors": _errors(known.errors, first),
        "parameters": _parameters(known),
        "sampling": _sampling(series),
    }


@dataclass(slots=True)
class _Known:
    """What is known of a run; None, and an empty dictionary, is what is not."""

    target: str
    is_open: bool | None
    duration_s: float
    rate: dict[str, float | None]
    latency: dict[str, Any]
    accounting: dict[str, int]
    errors: dict[str, int]
    run: dict[str, Any] = field(default_factory=dict)
    verdict: dict[str, Any] | None = None
    bytes: dict[str, int] = field(default_factory=dict)
    connections: dict[str, int] = field(default_factory=dict)
    generator: dict[str, float | None] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.run.get("config", {})
        return config


def _whole(summary: dict[str, Any]) -> _Known:
    """What the summary of a run that came to its end says."""
    run = summary["run"]
    return _Known(
        target=str(run["name"]),
        is_open=run["config"].get("model") != "closed",
        duration_s=run["duration_s"],
        rate=summary["rate"],
        latency=summary["latency_s"],
        accounting=summary["accounting"],
        errors=summary["errors"],
        run=run,
        verdict=summary["verdict"],
        bytes=summary["bytes"],
        connections=summary["connections"],
        generator=summary["generator"],
    )


def _killed(name: str, series: Series) -> _Known:
    """The same of a run without one, as far as its intervals tell."""
    sums = series.sums
    seconds = sums.measured_s
    return _Known(
        target=name,
        is_open=series.is_open if series.intervals else None,
        duration_s=seconds,
        rate={"target": None, "achieved": sums.counts["replies"] / seconds if seconds else 0.0},
        latency={
            "response": latency_record(sums.response, _PERCENTS),
            "service": latency_record(sums.service, _PERCENTS),
        },
        accounting={name: sums.counts[name] for name in ("sent", "ok", "failed", "dropped")},
        errors=sums.errors,
    )


# --- the top ----------------------------------------------------------------------------------------


def _subtitle(known: _Known) -> str:
    config = known.config
    if not config:
        return _e(f"{known.duration_s:.1f} s were measured before it was killed")
    parts = [f"{config['model']} model", _many(int(config["connections"]), "connection")]
    if config["pipeline"] > 1:
        parts.append(f"{config['pipeline']} in flight on each")
    if config["rate"] is not None:
        parts.append(f"{config['rate']:,g} requests/s ({config['arrival']})")
    if config["workers"] > 1:
        parts.append(f"{config['workers']} workers")
    began = str(known.run["started_at"]).replace("T", " ").partition(".")[0]
    return _e(f"{began} UTC · {known.duration_s:.1f} s measured · {', '.join(parts)}")


def _verdict(known: _Known) -> str:
    verdict = known.verdict
    if verdict is None:
        return _banner(
            "unknown", "?", "Killed before its end",
            ["there is no verdict, and the last interval is lost; what follows is what the time series adds up to"],
        )  # fmt: skip
    failed = [threshold for threshold in verdict["thresholds"] if not threshold["ok"]]
    reasons = [str(reason) for reason in verdict["reasons"]]
    bottleneck = {
        "none": "nothing was at its limit",
        "client": "the bottleneck was the client: this load generator, not the server",
        "server": "the bottleneck was the server",
    }.get(verdict["bottleneck"], "what the bottleneck was is unknown")
    words = "Valid" if verdict["valid"] else "Not valid"
    if known.run["interrupted"]:
        words += ", interrupted"
    if failed:
        words += f", {len(failed)} of {_many(len(verdict['thresholds']), 'threshold')} failed"
    kind = "bad" if failed or not verdict["valid"] else "good"
    return _banner(kind, "✗" if kind == "bad" else "✓", words, [*reasons, bottleneck])


def _banner(kind: str, sign: str, words: str, sentences: Iterable[str]) -> str:
    points = "".join(f"<li>{_e(sentence[:1].upper() + sentence[1:])}.</li>" for sentence in sentences)
    return (
        f'<div class="verdict {kind}"><span class="sign" aria-hidden="true">{sign}</span>'
        f"<div><h2>{_e(words)}</h2><ul>{points}</ul></div></div>"
    )


def _tiles(known: _Known) -> str:
    target, achieved = known.rate["target"], known.rate["achieved"] or 0.0
    beside = "replies per second" if target is None else f"of {target:,.0f} asked for"
    tiles = [("Rate", f"{achieved:,.0f}/s", beside, "")]
    response = known.latency["response"]
    if response["count"]:
        for percent in ("50", "99"):
            if percent in response["p"]:
                service = known.latency["service"]["p"].get(percent)
                beside = f"service {_time(service)}" if known.is_open and service is not None else "response"
                tiles.append((f"p{percent}", _time(response["p"][percent]), beside, ""))
        tiles.append(("Longest", _time(response["max"]), "response", ""))
    ok, failed = known.accounting["ok"], known.accounting["failed"]
    share = f"{failed / (ok + failed):.2%} " if failed else ""
    share = f"{share}of {ok + failed:,}" if ok + failed else "no request had an outcome"
    tiles.append(("Failed", f"{failed:,}", share, "alarm" if failed else ""))
    return "".join(
        f'<div class="tile {kind}"><dt>{_e(label)}</dt><dd>{_e(value)}<small>{_e(small)}</small></dd></div>'
        for label, value, small, kind in tiles
    )


# --- tables -----------------------------------------------------------------------------------------


def _latency(known: _Known) -> str:
    kinds = [kind for kind in _KINDS if kind in known.latency and known.latency[kind]["count"]]
    if not known.is_open:
        kinds = [kind for kind in kinds if kind != "service"]
    if not kinds:
        return "<p>There was no reply, so there is no latency.</p>"
    percents = list(known.latency[kinds[0]]["p"])
    head = _row("th", ["", *(f"p{percent}" for percent in percents), "max", "mean", "count"], "col")
    rows = []
    for kind in kinds:
        latency, explained = known.latency[kind], _KINDS[kind]
        if not known.is_open and kind == "response":
            explained = "from when the request left (closed: response and service are one)"
        values = [*(latency["p"][percent] for percent in percents), latency["max"], latency["mean"]]
        cells = "".join(f"<td>{_e(_time(value))}</td>" for value in values)
        label = f'<th scope="row">{kind}<small>{_e(explained)}</small></th>'
        rows.append(f"<tr>{label}{cells}<td>{latency['count']:,}</td></tr>")
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _accounting(known: _Known) -> str:
    words = {
        "scheduled": "were to be sent: sent + dropped",
        "sent": "left: ok + failed + in flight",
        "ok": "answered, and rightly",
        "failed": "no answer, or a wrong one",
        "dropped": "never sent: no room in time",
        "in_flight_at_end": "sent, unanswered after the drain",
    }
    rows = [(name.replace("_", " "), f"{count:,}", words[name]) for name, count in known.accounting.items()]
    return _facts(rows)


def _sockets(known: _Known) -> str:
    rows = []
    if known.connections:
        sockets = known.connections
        rows += [
            ("opened", f"{sockets['opened']:,}", f"at most {sockets['peak']:,} at a time"),
            ("reconnects", f"{sockets['reconnects']:,}", ""),
            ("closed by the server", f"{sockets['closed_by_peer']:,}", ""),
            ("traffic", bytes_text(known.bytes["sent"]), f"sent, {bytes_text(known.bytes['received'])} received"),
        ]
    if known.generator:
        generator = known.generator
        rows += [
            ("generator", f"{generator['cpu_max'] or 0:.0%}", "of a core, its busiest worker"),
            ("loop lag p99", _time(generator["loop_lag_p99_s"] or 0.0), "how late its loop was"),
        ]
        if generator["schedule_slip_p99_s"] is not None:
            rows.append(("send delay p99", _time(generator["schedule_slip_p99_s"]), "late, of requests with room"))
    return _facts(rows) if rows else "<p>Not known: the summary would have said it.</p>"


def _facts(rows: Iterable[tuple[str, str, str]]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{_e(name)}</th><td>{_e(value)}</td><td class="words">{_e(text)}</td></tr>'
        for name, value, text in rows
    )
    return f"<table><tbody>{cells}</tbody></table>"


def _thresholds(known: _Known) -> str:
    thresholds = known.verdict["thresholds"] if known.verdict is not None else []
    if not thresholds:
        return ""
    rows = []
    for threshold in thresholds:
        observed = "nothing to observe" if threshold["observed"] is None else f"{threshold['observed']:.4g}"
        sign = '<td class="good">✓ holds</td>' if threshold["ok"] else '<td class="bad">✗ failed</td>'
        rows.append(f'<tr><th scope="row"><code>{_e(threshold["expr"])}</code></th><td>{_e(observed)}</td>{sign}</tr>')
    head = _row("th", ["threshold", "observed (seconds, per second or a share)", ""], "col")
    return (
        '<section><h2>Thresholds</h2><div class="wide">'
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _errors(errors: dict[str, int], first: dict[str, Any]) -> str:
    occurred = sorted(((name, times) for name, times in errors.items() if times), key=lambda each: -each[1])
    if not occurred:
        return "<p>There were none.</p>"
    rows = []
    for name, times in occurred:
        failure = first.get(name)
        words = ""
        if failure is not None:
            where = f"first at {failure.get('at_s')} s on connection {failure.get('connection')}: "
            words = f"{_e(where)}<q>{_e(failure.get('detail'))}</q>"
        rows.append(f'<tr><th scope="row">{_e(name)}</th><td>{times:,}</td><td class="words">{words}</td></tr>')
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _parameters(known: _Known) -> str:
    run = known.run
    if not run:
        return "<p>Not known: they are in the summary, which is written at the end.</p>"
    facts: list[tuple[str, object]] = [
        ("command", shlex.join(str(word) for word in run["argv"])),
        ("run", run["id"]),
        ("seed", run["seed"]),
        ("schedule (SHA-256)", run["schedule_sha256"]),
        ("host", ", ".join(f"{value}" for value in run["host"].values()) + " cores"),
        ("versions", ", ".join(f"{name} {value or '(a clone)'}" for name, value in run["versions"].items())),
    ]
    facts += [
        (name.replace("_", " "), _option(value))
        for name, value in known.config.items()
        if name != "seed" and value not in (None, [], "")
    ]
    return "<dl>" + "".join(_fact(name, str(value)) for name, value in facts) + "</dl>"


def _fact(name: str, value: str) -> str:
    long = ' class="long"' if len(value) > 60 else ""
    return f"<div{long}><dt>{_e(name)}</dt><dd>{_e(value)}</dd></div>"


def _option(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_option(each) for each in value)
    if isinstance(value, dict):
        return ":".join(_option(each) for each in value.values())
    return str(value)


def _sampling(series: Series) -> str:
    if series.merged == 1:
        return "Each point is one interval of the run."
    return (
        f"It was a long run: each point is {series.merged} of its {series.intervals:,} intervals added up, their "
        "latencies too, so its percentiles are as exact; the time series in the same directory has them all."
    )


# --- pieces -----------------------------------------------------------------------------------------


def _row(cell: str, texts: Iterable[str], scope: str) -> str:
    return "<tr>" + "".join(f'<{cell} scope="{scope}">{_e(text)}</{cell}>' for text in texts) + "</tr>"


def _time(seconds: float) -> str:
    return time_text(seconds).replace(" us", " µs")


def _many(count: int, one: str) -> str:
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def _e(text: object) -> str:
    """Text from anywhere, as text and nothing else."""
    return escape(printable(str(text)))
