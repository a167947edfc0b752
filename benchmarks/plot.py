"""How do the ratios look?

An SVG of our own making, without a library: one panel per load, a bar per server, its length the
median ratio to uvloop, with a line from the smallest to the largest ratio of the rounds. Every bar
says its figure; panels have a scale each, since one load's factor of fourteen would flatten
another's of two.

It brings its own background and follows the reader's light or dark preference, so it can be read
wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from benchmarks.results import Ratio, Summary

__all__ = ["svg"]

BASE = "uvloop"
COLUMNS = 2
PANEL_WIDTH = 560
LABELS_WIDTH = 130  # left of the bars
FIGURES_WIDTH = 50  # right of the longest bar
ROW = 18
BAR = 11
HEAD = 46  # above a panel's first bar
GAP = 24
MARGIN = 20
TITLE = 50

STYLE = """
  .surface { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif }
  .title { font-size: 17px; font-weight: 600 } .load { font-size: 13px; font-weight: 600 } .soft { fill: #59636e }
  .figure { font-variant-numeric: tabular-nums }
  .ours { fill: #0969da } .message { fill: #54a0ee } .peer { fill: #9198a1 }
  .limit { fill: #d0d7de; stroke: #9198a1; stroke-dasharray: 3 2 } .spread { stroke: #1f2328; stroke-width: 1.2 }
  .base { stroke: #afb8c1; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    .surface { fill: #0d1117 } text { fill: #f0f6fc } .soft { fill: #9198a1 } .ours { fill: #4493f8 }
    .message { fill: #1f6feb; opacity: .75 } .peer { fill: #656c76 } .limit { fill: #262c36; stroke: #656c76 }
    .spread { stroke: #f0f6fc } .base { stroke: #57606a }
  }"""

KINDS = {
    "ours": "ours",
    "message-uvloop": "message",
    "together-uvloop": "message",
    "message-asyncio": "message",
    "c": "limit",
    "ceiling": "limit",
}


def svg(summaries: Sequence[Summary], titles: Mapping[str, str], caption: str) -> str:
    """The whole picture. `titles` says what each load is; loads without a ratio are left out."""
    panels: dict[str, list[tuple[str, Ratio]]] = {}
    for summary in summaries:
        if BASE in summary.ratios:
            panels.setdefault(summary.load, []).append((summary.peer, summary.ratios[BASE]))
    bodies, y, height = [], MARGIN + TITLE, MARGIN + TITLE
    for number, (load, rows) in enumerate(panels.items()):
        column = number % COLUMNS
        if not column:
            y = height  # a new row of panels begins below the longest of the last
        x = MARGIN + column * (PANEL_WIDTH + GAP)
        bodies.append(f'<g transform="translate({x} {y})">{_panel(load, titles.get(load, ""), rows)}</g>')
        height = max(height, y + HEAD + ROW * len(rows) + GAP)
    width = 2 * MARGIN + COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="Throughput as a multiple of uvloop\'s">\n<style>{STYLE}\n</style>\n'
        f'<rect class="surface" width="{width}" height="{height}"/>\n'
        f'<text class="title" x="{MARGIN}" y="34">Throughput as a multiple of uvloop\'s</text>\n'
        f'<text class="soft" x="{MARGIN}" y="54">{escape(caption)}</text>\n' + "\n".join(bodies) + "\n</svg>\n"
    )


def _panel(load: str, title: str, rows: Sequence[tuple[str, Ratio]]) -> str:
    longest = max(ratio.high for _, ratio in rows) or 1.0
    scale = (PANEL_WIDTH - LABELS_WIDTH - FIGURES_WIDTH) / longest
    parts = [
        f'<text class="load" x="0" y="18">{escape(load)}</text>',
        f'<text class="soft" x="0" y="35">{escape(title)}</text>',
    ]
    ranked = sorted(rows, key=lambda row: -row[1].median)
    at, bottom = LABELS_WIDTH + scale, HEAD + ROW * len(rows)
    parts.append(f'<line class="base" x1="{at:.1f}" x2="{at:.1f}" y1="{HEAD - 6}" y2="{bottom - 2}"/>')
    parts += [_row(peer, ratio, HEAD + ROW * number, scale) for number, (peer, ratio) in enumerate(ranked)]
    return "".join(parts)


def _row(peer: str, ratio: Ratio, y: int, scale: float) -> str:
    middle = y + BAR / 2
    low, high = LABELS_WIDTH + ratio.low * scale, LABELS_WIDTH + ratio.high * scale
    kind = KINDS.get(peer, "peer")
    told = f"{peer}: {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}, {ratio.rounds} rounds)"
    return (
        f"<g><title>{escape(told)}</title>"
        f'<text x="{LABELS_WIDTH - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(peer)}</text>'
        f'<rect class="{kind}" x="{LABELS_WIDTH}" y="{y}" width="{ratio.median * scale:.1f}" height="{BAR}" rx="1.5"/>'
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
        f'<text class="figure" x="{high + 6:.1f}" y="{middle + 4:.1f}">{ratio.median:.2f}</text></g>'
    )
