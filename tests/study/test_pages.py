"""Does the page of the state machines say what the tables say, all of it and nothing else?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.states import COUPLINGS, MACHINES, Machine, Row
from study import diagram, pages

PAGE = Path(__file__).resolve().parents[2] / "docs" / "look-up" / "states.md"

TOY = Machine(
    "TOY",
    ("A", "B"),
    (
        Row("A", "GO", "B", "onwards"),
        Row("A", "STOP", "C", "enough"),
        Row("A", "QUIT", "C", "enough | too much"),
        Row("B", "STOP", "C", "done"),
        Row("C", "STOP", "C", "done already"),
    ),
)


def test_the_page_in_the_docs_is_what_the_tables_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == pages.states_page(), "run python3 docs/generate.py"


def test_every_row_stands_on_the_page_with_its_reason() -> None:
    page = pages.states_page()
    for machine in MACHINES:
        for number, row in enumerate(machine.rows, 1):
            assert f"| {number} | `{row.state}` | `{row.input}` | `{row.target}` | {row.reason} |" in page
    for coupling in COUPLINGS:
        assert f"| `{coupling.entered}` | `{coupling.input}` | {coupling.reason} |" in page


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_diagram_has_an_arrow_for_every_row_and_no_other(machine: Machine) -> None:
    drawn = {}
    for line in diagram.mermaid(machine).splitlines():
        arrow = re.fullmatch(r"    (\w+) --> (\w+): ([\w </>]+)", line)
        for number, given in map(str.split, arrow[3].split("<br/>") if arrow else ()):
            drawn[int(number)] = (arrow[1], given, arrow[2])
    assert drawn == {number: (row.state, row.input, row.target) for number, row in enumerate(machine.rows, 1)}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_description_of_the_diagram_has_the_reason_of_every_number(machine: Machine) -> None:
    told = re.search(r"accDescr \{\n([^{}]*)\n    \}\n", diagram.mermaid(machine))
    assert told is not None
    assert [line.strip() for line in told[1].splitlines()] == [
        f"{number} {row.state}, {row.input}: {row.reason}" for number, row in enumerate(machine.rows, 1)
    ]


def test_no_brace_in_a_reason_ends_the_description() -> None:
    odd = Machine("ODD", ("A",), (Row("A", "GO", "B", "because of {this}"),))
    assert "1 A, GO: because of (this)\n    }\n" in diagram.mermaid(odd)


def test_a_diagram_shows_where_the_machine_begins_and_ends() -> None:
    assert diagram.mermaid(TOY).splitlines() == [
        "stateDiagram-v2",
        "    accTitle: TOY",
        "    accDescr {",
        "        1 A, GO: onwards",
        "        2 A, STOP: enough",
        "        3 A, QUIT: enough | too much",
        "        4 B, STOP: done",
        "        5 C, STOP: done already",
        "    }",
        "    [*] --> A",
        "    [*] --> B",
        "    A --> B: 1 GO",
        "    A --> C: 2 STOP<br/>3 QUIT",
        "    B --> C: 4 STOP",
        "    C --> C: 5 STOP",
        "    C --> [*]",
    ]


def test_the_matrix_leaves_unlisted_pairs_empty() -> None:
    assert pages.matrix(TOY).splitlines() == [
        "| input | `A` | `B` | `C` |",
        "| --- | --- | --- | --- |",
        "| `GO` | B |  |  |",
        "| `STOP` | C | C | C |",
        "| `QUIT` | C |  |  |",
    ]


def test_a_bar_in_a_reason_does_not_end_the_cell() -> None:
    assert "| enough \\| too much |" in pages.rows(TOY)


def test_every_machine_is_introduced() -> None:
    page = pages.states_page()
    for machine in MACHINES:
        assert f"\n## {machine.name}\n" in page
