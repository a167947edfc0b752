"""Does every picture show every row, and nothing that is no row?"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from protocol.states import MACHINES, Machine, Row
from study.diagram import FORMATS, FULL, SMALL, Measures, arrows, dot, in_order, svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=MACHINES, ids=lambda machine: machine.name)
def machine(request: pytest.FixtureRequest) -> Machine:
    return request.param


def test_arrows_hold_every_row_once(machine: Machine) -> None:
    assert sorted(row for rows in arrows(machine).values() for row in rows) == sorted(machine.rows)


def test_the_svg_has_every_state_and_every_row_with_its_reason(machine: Machine) -> None:
    picture = ElementTree.fromstring(svg(machine))
    groups = picture.findall(f"{SVG}g")
    assert [g.get("data-state") for g in groups if "state" in g.get("class", "")] == in_order(machine)
    shown = {
        (g.get("data-from"), given, g.get("data-to"))
        for g in groups
        if g.get("class") == "arrow"
        for given in g.get("data-inputs", "").split()
    }
    assert shown == {row[:3] for row in machine.rows}
    tips = "\n".join(title.text or "" for title in picture.iter(f"{SVG}title"))
    for row in machine.rows:
        assert f"{row.input}: {row.reason}" in tips


@pytest.mark.parametrize("size", [FULL, SMALL], ids=["full", "small"])
def test_no_two_arrows_of_the_svg_lie_on_each_other(machine: Machine, size: Measures) -> None:
    upright = []
    for path in re.findall(r'<path d="([^"]+)"', svg(machine, size=size)):
        found = re.search(r" H(\S+) Q(\S+) (\S+) .* V(\S+) ", path)
        if found:
            upright.append((float(found[2]), *sorted((float(found[3]), float(found[4])))))
    assert len(upright) > 3
    for i, (x, top, bottom) in enumerate(upright):
        for other_x, other_top, other_bottom in upright[i + 1 :]:
            assert x != other_x or bottom < other_top or other_bottom < top


def test_a_small_picture_has_the_same_arrows_and_no_labels(machine: Machine) -> None:
    def arrows_of(text: str) -> set[tuple[str | None, ...]]:
        found = ElementTree.fromstring(text).iter(f"{SVG}g")
        return {tuple(g.get(name) for name in ("data-from", "data-to", "data-inputs", "data-state")) for g in found}

    small = svg(machine, alone=False, size=SMALL)
    assert arrows_of(small) == arrows_of(svg(machine))
    width = float(small.split('viewBox="')[1].split('"')[0].split()[2])
    assert width < 300
    assert "tspan" not in small


def test_dot_has_every_row_with_its_reason(machine: Machine) -> None:
    text = dot(machine)
    assert text.startswith(f"digraph {machine.name} {{")
    for row in machine.rows:
        assert re.search(rf'{row.state} -> {row.target} \[label="[^"]*{row.input}', text)
        assert f"{row.input}: {row.reason}" in text


def test_a_quotation_mark_in_a_reason_breaks_no_picture() -> None:
    odd = Machine("ODD", ("A",), (Row("A", "GO", "B", 'they said "go" & <went>'),))
    assert '\\"go\\"' in dot(odd)
    ElementTree.fromstring(svg(odd))


def test_the_order_is_that_of_a_life_without_trouble() -> None:
    assert [in_order(machine) for machine in MACHINES] == [
        ["PROTOHEADER", "JSONHEADER", "CONTENT", "FINISHED", "FAILED", "ENDED"],
        ["CONNECTING", "OPEN", "DRAINING", "LINGERING", "CLOSED"],
        ["CURRENT", "BEHIND", "DROPPING", "OVER"],
    ]


def test_the_formats_are_all_there() -> None:
    assert list(FORMATS) == ["mermaid", "dot", "svg"]
