"""How are results told: lines on a terminal, JSON for programs, one HTML page for people?

Rules:

* The three say the same: id, verdict, what was expected, what came, the section of the contract.
* The page is one file that needs nothing from anywhere, in light and dark.
* What a target sent is shown escaped, always.

Not here: verdicts (`runner`).
"""

from __future__ import annotations

import html
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, TextIO

from .case import FAILED, INFORMATIONAL, NON_STRICT, OK, UNIMPLEMENTED, VERDICTS, Case, Result

__all__ = ["Progress", "as_html", "as_json", "listing", "summary"]

#: Characters of a line on the terminal that say what came.
LINE = 200


class Progress:
    """Says what is not OK as it is found, and on a terminal how far it is."""

    def __init__(self, total: int, out: TextIO = sys.stderr, quiet: bool = False) -> None:
        self.total, self.out, self.quiet = total, out, quiet
        self.done: Counter[str] = Counter()
        self._live = out.isatty() and not quiet

    def __call__(self, result: Result) -> None:
        self.done[result.verdict] += 1
        if result.verdict in (FAILED, NON_STRICT) and not self.quiet:
            self._clear()
            print(line(result), file=self.out, flush=True)
        if self._live:
            counts = ", ".join(f"{self.done[v]} {v}" for v in VERDICTS if self.done[v])
            self.out.write(f"\r{sum(self.done.values())}/{self.total}: {counts}\x1b[K")
            self.out.flush()

    def end(self) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._live:
            self.out.write("\r\x1b[K")


def line(result: Result) -> str:
    came = result.came.replace("\n", " ")[:LINE]
    return (
        f"{result.verdict:14}{result.case.id:9}{result.case.title}\n"
        f"{'':14}expected  {result.expected}\n{'':14}came      {came}\n{'':14}contract  {result.case.section}"
    )


def listing(cases: Sequence[Case]) -> str:
    """Every case, a line each, and the counts."""
    wide = max((len(case.id) for case in cases), default=0) + 2
    broad = max((len(case.mechanism) for case in cases), default=0) + 2
    lines = [
        f"{case.id:{wide}}{case.role:8}{case.mechanism:{broad}}{case.title}{_part(case)}{' ★' if case.star else ''}"
        for case in cases
    ]
    roles = Counter(case.role for case in cases)
    told = ", ".join(f"{count} in the {role} role" for role, count in sorted(roles.items(), reverse=True))
    stars = sum(case.star for case in cases)
    return "\n".join(
        [*lines, "", f"{len(cases)} cases ({told}), {len({c.mechanism for c in cases})} mechanisms, {stars} ★"]
    )


def _part(case: Case) -> str:
    return f" [{case.part}]" if case.part else ""


def summary(results: Sequence[Result], seconds: float) -> str:
    counts = Counter(result.verdict for result in results)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
    return f"{len(results)} cases in {seconds:.1f} s: {told}"


def _row(result: Result) -> dict[str, Any]:
    case = result.case
    return {
        "id": case.id,
        "title": case.title,
        "role": case.role,
        "group": case.group,
        "mechanism": case.mechanism,
        "section": case.section,
        "star": case.star,
        "part": case.part,
        "verdict": result.verdict,
        "expected": result.expected,
        "came": result.came,
        "seconds": round(result.seconds, 3),
        "seen": result.seen,
    }


def as_json(results: Sequence[Result], target: str, seconds: float, complete: bool) -> str:
    counts = Counter(result.verdict for result in results)
    return json.dumps(
        {
            "target": target,
            "complete": complete,
            "seconds": round(seconds, 1),
            "counts": {verdict: counts[verdict] for verdict in VERDICTS},
            "mechanisms": len({result.case.mechanism for result in results}),
            "cases": [_row(result) for result in results],
        },
        indent=1,
        ensure_ascii=False,
    )


# --- the page -----------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --ok: light-dark(#1a7f37, #4ac26b); --bad: light-dark(#c1121f, #ff7b72);
  --odd: light-dark(#9a6700, #e3b341); --note: light-dark(#57606a, #9aa4af); --line: light-dark(#d8dee4, #343b43);
  --soft: light-dark(#f6f8fa, #1b2027); --page: light-dark(#fff, #0e1217); --text: light-dark(#1f2328, #e6edf3); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  background: var(--page); color: var(--text); }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
p { margin: .3rem 0; } .soft { color: var(--note); }
.counts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
.counts label { border: 1px solid var(--line); border-radius: .5rem; padding: .35rem .8rem; background: var(--soft);
  cursor: pointer; } .counts b { font-size: 1.2rem; margin-right: .3rem; }
.OK { color: var(--ok); } .FAILED { color: var(--bad); } .NON-STRICT { color: var(--odd); }
.INFORMATIONAL, .UNIMPLEMENTED { color: var(--note); }
details { border-top: 1px solid var(--line); } details:last-child { border-bottom: 1px solid var(--line); }
summary { display: grid; grid-template-columns: 8.5rem 5rem 1fr 4rem; gap: .6rem; padding: .3rem .2rem; cursor: pointer;
  list-style: none; } summary::-webkit-details-marker { display: none; } summary:hover { background: var(--soft); }
summary .v { font-weight: 600; font-size: .85rem; } summary .s { text-align: right; color: var(--note); }
summary code { color: var(--note); }
dl { display: grid; grid-template-columns: 8.5rem 1fr; gap: .1rem .6rem; margin: .3rem .2rem .8rem; }
dt { color: var(--note); } dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .82rem; background: var(--soft);
  padding: .4rem .6rem; border-radius: .4rem; }
@media (max-width: 40rem) { summary { grid-template-columns: 7rem 1fr; } summary .s { display: none; } }
"""


def as_html(results: Sequence[Result], target: str, seconds: float, complete: bool) -> str:
    """One page: counts that filter without a script, then the groups, FAILED ones open."""
    counts = Counter(result.verdict for result in results)
    mechanisms = len({result.case.mechanism for result in results})
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.case.group, []).append(result)
    boxes = "".join(
        f'<label class="{v}"><input type="checkbox" id="show-{v}" checked> <b>{counts[v]}</b>{v}</label>'
        for v in VERDICTS
    )
    hide = "".join(f"body:has(#show-{v}:not(:checked)) details.of-{v} {{ display: none; }}\n" for v in VERDICTS)
    body = "".join(_group(name, found) for name, found in groups.items())
    cut = "" if complete else '<p class="FAILED">Interrupted: these are the cases that were run until then.</p>'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Conformance: {html.escape(target)}</title><style>{_STYLE}{hide}</style></head><body>"
        f"<h1>Conformance of {html.escape(target)}</h1>"
        f'<p class="soft">{len(results)} cases, {mechanisms} mechanisms, {seconds:.1f} s. '
        "★ marks what the tutorial's one-shot server fails.</p>"
        f'{cut}<div class="counts">{boxes}</div>{body}{_WORDS}</body></html>\n'
    )


def _group(name: str, found: Sequence[Result]) -> str:
    role, _, what = name.partition("_")
    return (
        f"<section><h2>{html.escape(what.replace('_', ' '))} ({html.escape(role)})</h2>"
        + "".join(map(_details, found))
        + "</section>"
    )


def _details(result: Result) -> str:
    case = result.case
    seen = html.escape("\n".join(result.seen))
    rows = [
        ("expected", html.escape(result.expected)),
        ("came", html.escape(result.came)),
        ("contract", html.escape(case.section)),
        ("mechanism", html.escape(case.mechanism)),
    ]
    if case.part:
        rows.append(("part", html.escape(case.part)))
    if seen:
        rows.append(("on the wire", f"<pre>{seen}</pre>"))
    listed = "".join(f"<dt>{name}</dt><dd>{words}</dd>" for name, words in rows)
    return (
        f'<details class="of-{result.verdict}"{" open" if result.verdict == FAILED else ""}><summary>'
        f'<span class="v {result.verdict}">{result.verdict}</span><code>{html.escape(case.id)}</code>'
        f"<span>{html.escape(case.title)}{' ★' if case.star else ''}</span>"
        f'<span class="s">{result.seconds:.2f} s</span></summary><dl>{listed}</dl></details>'
    )


_WORDS = (
    f'<p class="soft"><b>{OK}</b>: as the contract says. <b>{UNIMPLEMENTED}</b>: about a part that the target does not '
    f"have, and need not have. <b>{INFORMATIONAL}</b>: not judged; the contract leaves it open, or this run could not "
    f"show it. <b>{NON_STRICT}</b>: served, but not to the letter. "
    f"<b>{FAILED}</b>: against the contract.</p>"
)
