"""What does a state machine look like?

    python -m study diagram [--machine NAME] [--format mermaid|dot|svg] [-o FILE]

Mermaid for code hosts, DOT for Graphviz, SVG for browsers: all from the rows of
`protocol.states`. Rows that lead from one state to the same other share an arrow.

Each carries the reasons as its format can. In DOT and SVG they are the arrow's tooltip. Mermaid has no
tooltip for an arrow: it has `click` for states, which versions before 11.7 take for a syntax error, and
notes, which are larger than the machine. So there the rows are numbered, and the picture's description
(`accDescr`, which becomes the SVG's `desc`) says the reason of each number.

This module lays the SVG out as an arc diagram. The states stand in a column, in the order of a
connection without trouble; arrows onward bow to the right, arrows back to the left, each in a
lane of its own, the longer the further out. So no arrow crosses a state, and no layout engine is
needed.

Not here: the docs' page (`study.pages`), the diagram that lights up (`study.view`).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from protocol.states import MACHINES, Machine, Row

__all__ = ["FORMATS", "FULL", "SMALL", "STYLE", "Measures", "arrows", "dot", "in_order", "mermaid", "named", "svg"]


def arrows(machine: Machine) -> dict[tuple[str, str], list[Row]]:
    """The rows by the states they lead from and to, in the table's order."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in machine.rows:
        found.setdefault((row.state, row.target), []).append(row)
    return found


def mermaid(machine: Machine) -> str:
    """A Mermaid state diagram; its numbers are the rows', from 1."""
    number = {row: count for count, row in enumerate(machine.rows, 1)}
    lines = ["stateDiagram-v2", f"    accTitle: {machine.name}", "    accDescr {"]
    for row, count in number.items():
        reason = row.reason.translate({ord("{"): "(", ord("}"): ")"})  # a brace would end the description
        lines.append(f"        {count} {row.state}, {row.input}: {reason}")
    lines += ["    }", *(f"    [*] --> {state}" for state in machine.initial)]
    for (a, b), rows in arrows(machine).items():
        lines.append(f"    {a} --> {b}: {'<br/>'.join(f'{number[row]} {row.input}' for row in rows)}")
    lines += [f"    {state} --> [*]" for state in machine.terminal]
    return "\n".join(lines)


def dot(machine: Machine) -> str:
    """A digraph for Graphviz, each arrow with its rows' reasons as the tooltip."""
    lines = [f"digraph {machine.name} {{", "    rankdir=LR;", "    node [shape=box, style=rounded];"]
    for state in machine.states:
        marks = ["peripheries=2"] if state in machine.terminal else []
        marks += ["penwidth=2"] if state in machine.initial else []
        lines.append(f"    {state} [{', '.join(marks)}];" if marks else f"    {state};")
    for (a, b), rows in arrows(machine).items():
        label = "\\n".join(row.input for row in rows)
        tip = "\\n".join(f"{row.input}: {row.reason}".replace('"', '\\"') for row in rows)
        lines.append(f'    {a} -> {b} [label="{label}", edgetooltip="{tip}", labeltooltip="{tip}"];')
    return "\n".join([*lines, "}"])


# --- SVG -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measures:
    """How large a picture's pieces are; `gap` is between two boxes, `lane` how much further the next arc bows."""

    box_width: int = 150
    box_height: int = 40
    gap: int = 96
    lane: int = 132
    first_lane: int = 46
    margin: int = 24
    labels: bool = True


FULL = Measures()
#: For a page that lights one arrow and says beside the picture what it is: a third as wide.
SMALL = Measures(box_width=112, box_height=20, gap=14, lane=15, first_lane=18, margin=4, labels=False)

LINE = 13  # of text

STYLE = """\
.state rect { fill: var(--box, #f4f6f8); stroke: var(--ink, #24292f); stroke-width: 1.2 }
.state.initial rect { stroke-width: 2.4 }
.state.terminal rect.inner { fill: none; stroke-width: 1 }
text { font: 12px ui-monospace, monospace; fill: var(--ink, #24292f) }
.state text { font-weight: 600; text-anchor: middle }
.arrow path { fill: none; stroke: var(--line, #6e7781); stroke-width: 1.3 }
.arrow polygon { fill: var(--line, #6e7781) }
.arrow text { font-size: 10.5px; paint-order: stroke; stroke: var(--paper, #fff); stroke-width: 4px }
.arrow:hover path { stroke-width: 2.6 }
.lit rect { fill: var(--lit, #ffd33d) }
.lit.arrow path { stroke: var(--lit-line, #bc4c00); stroke-width: 2.8 }
.lit.arrow polygon { fill: var(--lit-line, #bc4c00) }
@media (prefers-color-scheme: dark) { svg.alone { --ink: #e6edf3; --box: #21262d; --line: #8b949e; --paper: #0d1117;
  background: #0d1117 } }"""


@dataclass(slots=True)
class _Arc:
    """An arrow's place: from and to are y, `x` is how far it bows (negative: to the left)."""

    rows: list[Row]
    start: float
    end: float
    x: float


def in_order(machine: Machine) -> list[str]:
    """The states in the order of a life without trouble: from each to the first new one its rows name, the end last."""
    targets: dict[str, list[str]] = {}
    for row in machine.rows:
        targets.setdefault(row.state, []).append(row.target)
    order: list[str] = []

    def visit(state: str) -> None:
        if state not in order and state not in machine.terminal:
            order.append(state)
            for target in targets.get(state, ()):
                visit(target)

    for state in machine.initial:
        visit(state)
    return order + [state for state in machine.states if state not in order]


def _lay_out(machine: Machine, size: Measures) -> list[_Arc]:
    """Where each arrow leaves, arrives and how far it bows; arrows at one side of a box share it evenly."""
    place = {state: index for index, state in enumerate(in_order(machine))}
    ports: dict[tuple[str, bool], list[tuple[tuple[str, str], bool]]] = {}
    found = arrows(machine)
    for a, b in found:
        right = place[b] > place[a]
        ports.setdefault((a, right), []).append(((a, b), True))
        ports.setdefault((b, right), []).append(((a, b), False))
    y: dict[tuple[tuple[str, str], bool], float] = {}
    for (state, _), ends in ports.items():
        # What goes up stands above, what goes down below, the furthest outermost: no two cross at the box.
        def height(port: tuple[tuple[str, str], bool], state: str = state) -> tuple[float, bool]:
            pair, leaving = port
            far = place[pair[1] if leaving else pair[0]] - place[state]
            return (1 / far if far else 0), not leaving

        for number, port in enumerate(sorted(ends, key=height), 1):
            y[port] = place[state] * (size.box_height + size.gap) + size.box_height * number / (len(ends) + 1)
    arcs = [
        _Arc(rows, y[pair, True], y[pair, False], 1 if place[pair[1]] > place[pair[0]] else -1)
        for pair, rows in found.items()
    ]
    for side in (1, -1):
        lanes: list[list[_Arc]] = []
        for arc in sorted((arc for arc in arcs if arc.x == side), key=lambda arc: abs(arc.end - arc.start)):
            lane = next((lane for lane in lanes if not any(_overlap(arc, other, size) for other in lane)), None)
            if lane is None:
                lane = []
                lanes.append(lane)
            lane.append(arc)
        for number, lane in enumerate(lanes):
            for arc in lane:
                arc.x = side * (size.first_lane + number * size.lane)
    return arcs


def _overlap(one: _Arc, other: _Arc, size: Measures) -> bool:
    """Would they touch in one lane? Their labels need room as well."""
    room = LINE * max(len(one.rows), len(other.rows)) / 2 if size.labels else 0
    return min(one.start, one.end) - room < max(other.start, other.end) and min(other.start, other.end) - room < max(
        one.start, one.end
    )


def _path(arc: _Arc, size: Measures) -> tuple[str, float, float]:
    """The path, and where its label begins."""
    side = 1 if arc.x > 0 else -1
    edge = side * size.box_width / 2
    far = edge + arc.x
    middle = (arc.start + arc.end) / 2
    if arc.rows[0].state == arc.rows[0].target:
        bend = size.box_height / 2
        loop = f"M{edge} {arc.start} C{far} {arc.start - bend} {far} {arc.end + bend} {edge} {arc.end}"
        return loop, far + side * 2, middle
    radius = min(18.0, size.gap / 2, abs(arc.x), abs(arc.end - arc.start) / 2)
    down = 1 if arc.end > arc.start else -1
    path = (
        f"M{edge} {arc.start} H{far - side * radius} Q{far} {arc.start} {far} {arc.start + down * radius} "
        f"V{arc.end - down * radius} Q{far} {arc.end} {far - side * radius} {arc.end} H{edge}"
    )
    return path, far + side * 6, middle


def svg(machine: Machine, *, alone: bool = True, size: Measures = FULL) -> str:
    """An SVG picture; with `alone=False` to stand inside a page, whose colours it takes."""
    arcs = _lay_out(machine, size)
    parts: list[str] = []
    labels: list[str] = []  # drawn last, so that no line strikes one out
    left = right = size.box_width / 2
    for arc in arcs:
        path, x, y = _path(arc, size)
        side = 1 if arc.x > 0 else -1
        edge = side * size.box_width / 2
        words = [row.input for row in arc.rows]
        width = max(map(len, words)) * 6.6 + 8 if size.labels else 0
        right, left = (max(right, x + width), left) if side > 0 else (right, max(left, width - x))
        first = arc.rows[0]
        tips = "\n".join(f"{row.input}: {row.reason}" for row in arc.rows)
        lines = "".join(
            f'<tspan x="{x:g}" y="{y + (number - (len(words) - 1) / 2) * LINE + 4:g}">{escape(word)}</tspan>'
            for number, word in enumerate(words)
        )
        anchor = "start" if side > 0 else "end"
        tip = f"{edge:g},{arc.end:g} {edge + side * 9:g},{arc.end - 4:g} {edge + side * 9:g},{arc.end + 4:g}"
        begin = (
            f'<g class="arrow" data-from="{first.state}" data-to="{first.target}" data-inputs="{" ".join(words)}">'
            f"<title>{escape(tips)}</title>"
        )
        parts.append(f'{begin}<path d="{path}"/><polygon points="{tip}"/></g>')
        if size.labels:
            labels.append(f'{begin}<text text-anchor="{anchor}">{lines}</text></g>')
    for index, state in enumerate(in_order(machine)):
        parts.append(_box(machine, state, index * (size.box_height + size.gap), size))
    parts += labels
    height = len(machine.states) * (size.box_height + size.gap) - size.gap
    wide, high = left + right + 2 * size.margin, height + 2 * size.margin
    box = f"{-left - size.margin:g} {-size.margin} {wide:g} {high:g}"
    kind = ' class="alone"' if alone else ""
    name = machine.name
    extent = f' width="{wide:g}" height="{high:g}"' if alone else ""
    style = f"<style>{STYLE}</style>" if alone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg"{kind} viewBox="{box}"{extent} role="img" data-machine="{name}">'
        f"<title>{name}</title>{style}\n" + "\n".join(parts) + "\n</svg>"
    )


def _box(machine: Machine, state: str, y: float, size: Measures) -> str:
    kinds = ["state"]
    inner = ""
    if state in machine.initial:
        kinds.append("initial")
    if state in machine.terminal:
        kinds.append("terminal")
        inner = (
            f'<rect class="inner" x="{-size.box_width / 2 + 4}" y="{y + 4:g}" rx="6" '
            f'width="{size.box_width - 8}" height="{size.box_height - 8}"/>'
        )
    return (
        f'<g class="{" ".join(kinds)}" data-state="{state}">'
        f'<rect x="{-size.box_width / 2}" y="{y:g}" rx="9" width="{size.box_width}" height="{size.box_height}"/>{inner}'
        f'<text x="0" y="{y + size.box_height / 2 + 4:g}">{state}</text></g>'
    )


FORMATS = {"mermaid": mermaid, "dot": dot, "svg": svg}


def named(name: str) -> Machine:
    """The machine of that name. Raises `KeyError`."""
    return {machine.name: machine for machine in MACHINES}[name]
