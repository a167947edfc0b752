"""How do results become the tables of the docs?

    python -m benchmarks table RESULTS.json ... [--into docs/measurements] [--only aims,loop]

Takes what `--json` wrote (of the loads, of `ablation`, `memory` and `scale`) and makes tables of it. With
`--into` a directory each table becomes a text file of its own there, NAME.txt, which begins with the commit, the
date and the machine. With `--into` a document each replaces what stands there between its markers

    <!-- benchmarks: NAME -->
    <!-- /benchmarks: NAME -->

and only there: the words around are a person's. Without it the tables go to stdout as markdown, markers and
all, ready to be pasted. Nothing in a document is ever typed by hand that came out of a run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ablation
from benchmarks.report import ranked
from benchmarks.results import Ratio, Summary
from benchmarks.stored import Run, read
from protocol.files import SHARED, replace

__all__ = ["as_text", "label", "main", "put_into", "tables"]

OURS = "ours"

#: What was aimed at: the load, the peer compared with, at least so many times its throughput.
AIMS = (
    ("1x1", "uvloop", 1.45),
    ("64x1", "uvloop", 2.0),
    ("64x1-mixed", "uvloop", 2.0),
    ("1000x1", "uvloop", 1.8),
    ("64x16", "uvloop", 5.0),
    ("64x16-mixed", "uvloop", 4.5),
    ("oneshot", "uvloop", 1.3),
    ("echo-1m", "uvloop", 5.0),
    ("64x1", "message-uvloop", 1.0),
    ("64x16", "message-uvloop", 1.0),
    ("64x1", "together-uvloop", 1.0),
    ("64x16", "together-uvloop", 1.0),
    ("64x1", "c", 0.66),
    ("64x16", "c", 0.30),
)

#: What makes the comparison fair: the load, a peer, the one it is compared with, at least so many times its throughput.
FAIR = (("64x16", "asyncio", "uvloop", 0.95), ("64x1", "c", "uvloop", 3.0))

#: Longest a reply may take with so many connections, in milliseconds, and none may be starved.
WORST = ("1000x1", 50.0)


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """By the names of their markers. Raises `ValueError` for what is none of our files."""
    kind = found.get("kind")
    if kind == "loads":
        run = read(found)
        return {
            "headline": _headline(run),
            "ratios": _ratios(run),
            "ours": _ours(run),
            "loads": _loads(run),
            "loop": _loop(run),
            "aims": _aims(run),
            "environment": f"{run.caption()}. {_libraries(run)}",
            "aims-environment": run.caption(),
        }
    if kind == "memory":
        return {"memory": _memory(found)}
    if kind in ("ablation", "tried"):
        head, rows = ablation.table_rows(ablation.read(found))
        return {kind: _markdown(head, rows, left=2)}
    if kind == "scale":
        return {f"scale-{name}": _plain(rows) for name, rows in found["tables"].items()}
    raise ValueError(f"no results of this program: kind {kind!r}")


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """The first `left` columns are words, the others figures."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _plain(rows: Sequence[Sequence[str]]) -> str:
    return _markdown(rows[0], rows[1:])


def _spread(ratio: Ratio | None) -> str:
    return f"**{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "-"


def _by_load(run: Run) -> dict[str, dict[str, Summary]]:
    found: dict[str, dict[str, Summary]] = {}
    for summary in run.summaries():
        found.setdefault(summary.load, {})[summary.peer] = summary
    return found


def _ratios(run: Run) -> str:
    """Loads down, peers across, throughput as a multiple of uvloop's."""
    rows = []
    for load, peers in _by_load(run).items():
        cells = []
        for name in run.peers:
            ratio = peers[name].ratios.get("uvloop") if name in peers else None
            cells.append(f"{ratio.median:.2f}" if ratio else "-")
        rows.append([f"`{load}`", *cells])
    return _markdown(["load", *run.peers], rows)


def _ours(run: Run) -> str:
    """The project against uvloop and C, with spreads."""
    head = ["load", "requests/s", "x uvloop", "by CPU", "x C", "CPU us", "p50 us", "p99 us", "max us", "starved"]
    rows = []
    for load, peers in _by_load(run).items():
        own = peers.get(OURS)
        if own is None or not own.rounds:
            continue
        by_cpu = own.cpu_ratios.get("uvloop")
        rows.append(
            [
                f"`{load}`",
                f"{own.rate:,.0f}" + (" (generator-bound)" if own.generator_bound else ""),
                _spread(own.ratios.get("uvloop")),
                f"{by_cpu.median:.2f}" if by_cpu else "-",
                _spread(own.ratios.get("c")),
                f"{own.cpu_us:.2f}",
                f"{own.p50_us:,.0f}",
                f"{own.p99_us:,.0f}",
                f"{own.max_us:,.0f}",
                str(own.starved),
            ]
        )
    return _markdown(head, rows)


def _headline(run: Run) -> str:
    """The project against uvloop and C, without spreads: what a reader wants to know first."""
    rows = []
    for load, peers in _by_load(run).items():
        own = peers.get(OURS)
        if own is None or not own.rounds:
            continue
        by_base = [own.ratios.get("uvloop"), own.cpu_ratios.get("uvloop"), own.ratios.get("c")]
        ratios = [f"{ratio.median:.2f}" if ratio else "-" for ratio in by_base]
        rows.append([f"`{load}`", *ratios, f"{own.cpu_us:.2f}"])
    return _markdown(["load", "x uvloop", "by CPU", "x C", "CPU us"], rows)


def _loads(run: Run) -> str:
    """Everything: a table per load, the fastest first."""
    head = ["server", "requests/s", "x uvloop", "CPU us", "p50 us", "p99 us", "max us", "starved"]
    parts = []
    by_load: dict[str, list[Summary]] = {}
    for summary in ranked(run.summaries()):
        by_load.setdefault(summary.load, []).append(summary)
    for load, summaries in by_load.items():
        rows = [
            [
                s.peer,
                f"{s.rate:,.0f}" + (" (generator-bound)" if s.generator_bound else ""),
                _spread(s.ratios.get("uvloop")),
                f"{s.cpu_us:.2f}",
                f"{s.p50_us:,.0f}",
                f"{s.p99_us:,.0f}",
                f"{s.max_us:,.0f}",
                str(s.starved),
            ]
            for s in summaries
            if s.rounds
        ]
        parts.append(f"`{load}`: {run.loads.get(load, '')}\n\n{_markdown(head, rows)}")
    return "\n\n".join(parts)


def _loop(run: Run) -> str:
    """The same Message on three loops: ours divided by the others."""
    rows = []
    for load, peers in _by_load(run).items():
        own = peers.get(OURS)
        cells = []
        for other in ("message-uvloop", "together-uvloop", "message-asyncio"):
            ratio = own.ratios.get(other) if own is not None else None
            cells.append(_spread(ratio))
        if cells != ["-"] * len(cells):
            rows.append([f"`{load}`", *cells])
    return _markdown(["load", "our loop / uvloop", "waiting there too", "our loop / asyncio"], rows)


def _aims(run: Run) -> str:
    """What was aimed at beside what was reached. By throughput: where the generator was the limit, it says so."""
    found = _by_load(run)
    rows = []
    for load, base, least in AIMS:
        own = found.get(load, {}).get(OURS)
        ratio = own.ratios.get(base) if own is not None else None
        if own is None or ratio is None:
            continue
        limit = " (generator-bound)" if own.generator_bound or found[load][base].generator_bound else ""
        reached = "yes" if ratio.median >= least else "no"
        rows.append([f"`{load}`", base, reached + limit, f"{least:.2f}", _spread(ratio)])
    for load, peer, base, least in FAIR:
        other = found.get(load, {}).get(peer)
        ratio = other.ratios.get(base) if other is not None else None
        if ratio is not None:
            reached = "yes" if ratio.median >= least else "no"
            rows.append([f"`{load}`", f"{peer} against {base}", reached, f"{least:.2f}", _spread(ratio)])
    load, most = WORST
    own = found.get(load, {}).get(OURS)
    if own is not None:
        reached = "yes" if own.median_max_us < most * 1000 and not own.starved else "no"
        told = f"**{own.median_max_us / 1000:.0f} ms** (at most {own.max_us / 1000:.0f}), {own.starved} starved"
        rows.append([f"`{load}`", "a round's slowest reply", reached, f"below {most:.0f} ms, none starved", told])
    return _markdown(["load", "against", "reached", "at least", "measured"], rows, left=3)


def _libraries(run: Run) -> str:
    versions = run.environment.get("libraries", {})
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _memory(found: Mapping[str, Any]) -> str:
    head = ["server", "empty, MiB", "idle", "asked again", "all closed", "second wave"]
    rows = [
        [
            name,
            f"{f['empty'] / 2**20:.1f}",
            *(f"{f[column]:,.0f}" for column in ("idle", "asked_again", "closed", "second_wave")),
        ]
        for name, f in found["footprints"].items()
    ]
    return _markdown(head, rows) + f"\n\nWith {found['connections']:,} connections."


def label(found: Mapping[str, Any]) -> str:
    """One line: at which commit it was measured, when, and on what."""
    where = found.get("environment", {})
    return (
        f"Commit {where.get('commit') or 'unknown'}, {where.get('date') or 'date unknown'}. "
        f"Python {where.get('python')}, {where.get('processor')}, {where.get('cores')} cores, "
        f"{where.get('system')} {where.get('kernel')}."
    )


def as_text(table: str) -> str:
    """Markdown for a terminal or an editor: columns in line, words to the left, figures to the right, no marks."""
    lines = [line.replace("**", "").replace("`", "") for line in table.splitlines()]
    text: list[str] = []
    rows: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("| "):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif line.startswith("|---"):
            marks = line.strip("|").split("|")
            right = [mark.endswith(":") for mark in marks]
        else:
            if rows:
                widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
                for row in rows:
                    cells = zip(row, widths, right, strict=True)
                    text.append("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells).rstrip())
                rows = []
            text.append(line)
    return "\n".join(text).rstrip() + "\n"


def put_into(document: str, made: Mapping[str, str]) -> tuple[str, list[str]]:
    """The document with each table between its markers, and the names that have none there."""
    homeless = []
    for name, table in made.items():
        begin, end = f"<!-- benchmarks: {name} -->", f"<!-- /benchmarks: {name} -->"
        pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
        body = f"{begin}\n{table}\n{end}"
        document, count = pattern.subn(lambda _, body=body: body, document)  # type: ignore[misc]
        if not count:
            homeless.append(name)
    return document, homeless


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks table", description="Markdown tables of results.")
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="what --json wrote")
    into = "a directory: write each table to a file there; a file: replace the tables between its markers"
    parser.add_argument("--into", type=Path, metavar="PATH", help=into)
    parser.add_argument("--only", metavar="NAMES", help="comma-separated: these tables of all that the files give")
    options = parser.parse_args(argv)
    made: dict[str, str] = {}
    labels: dict[str, str] = {}
    try:
        for path in options.results:
            found = json.loads(path.read_text())
            made |= (of_this := tables(found))
            labels |= dict.fromkeys(of_this, label(found))
        if options.only is not None:
            made = {name: made[name] for name in options.only.split(",")}
        if options.into is None:
            for name, table in made.items():
                print(f"<!-- benchmarks: {name} -->\n{table}\n<!-- /benchmarks: {name} -->\n")
            return 0
        if options.into.is_dir():
            for name, table in made.items():
                if not name.endswith("environment"):  # which every file's first line says
                    text = f"{labels[name]}\n\n{as_text(table)}"
                    replace(options.into / f"{name}.txt", [text.encode()], SHARED)
            return 0
        document, homeless = put_into(options.into.read_text(), made)
        replace(options.into, [document.encode()], SHARED)
    except (OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyError as error:
        print(f"benchmarks: there is no {error} in these files; they give {', '.join(made)}", file=sys.stderr)
        return 2
    for name in homeless:
        print(f"{options.into} has no markers for {name}: <!-- benchmarks: {name} -->", file=sys.stderr)
    return 0
