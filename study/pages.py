"""What do the state tables look like on a page?

Everything on the page comes from the rows of `protocol.states`: the diagrams (Mermaid, which code
hosts draw), the table of states against inputs, the rows with their reasons, the couplings.

Rules:

* It says nothing that the rows do not say; an order is the order of the rows.
* The same rows give the same bytes, so that a test can compare.

Not here: writing the page, and other generated pages (`docs/generate.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from protocol.states import COUPLINGS, DELIVERY, LIFECYCLE, MACHINES, RECEIVE, Coupling, Machine

from .diagram import mermaid

__all__ = ["couplings", "matrix", "rows", "states_page", "table"]

#: The purpose of each machine, in a sentence: the rows do not have it.
_ABOUT = {
    RECEIVE.name: "Which part of a message do the next bytes belong to? `protocol.connection.Connection` drives it.",
    LIFECYCLE.name: "What is the connection as a whole good for? `Message`, of the server or of the client, drives it.",
    DELIVERY.name: "How far is a subscription with what is published? `libserver.subscription.Subscription` drives it.",
}


def table(titles: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def matrix(machine: Machine) -> str:
    """Every state against every input: where it leads, or nothing for a pair that no row lists."""
    target = {(row.state, row.input): row.target for row in machine.rows}
    body = [[f"`{given}`", *(target.get((state, given), "") for state in machine.states)] for given in machine.inputs]
    return table(["input", *(f"`{state}`" for state in machine.states)], body)


def rows(machine: Machine) -> str:
    """The rows with their reasons, and their numbers in the diagram."""
    return table(
        ["", "in", "on", "to", "because", "only if"],
        (
            [str(number), f"`{row.state}`", f"`{row.input}`", f"`{row.target}`", row.reason, str(row.guard or "")]
            for number, row in enumerate(machine.rows, 1)
        ),
    )


def couplings(all_of_them: Iterable[Coupling] = COUPLINGS) -> str:
    """Which state of RECEIVE is which input of LIFECYCLE."""
    return table(
        [f"when {RECEIVE.name} enters", f"{LIFECYCLE.name} is given", "because"],
        ([f"`{c.entered}`", f"`{c.input}`", c.reason] for c in all_of_them),
    )


_HEAD = """\
# The state machines

<!-- Generated from protocol/states.py by docs/generate.py. Edit the rows there, not this page. -->

Three small machines and a counter, never one big machine: RECEIVE knows which part of a message is being read,
LIFECYCLE what the connection is good for, DELIVERY how far a subscription is with what is published to it, and the
counter (`Connection.in_flight`) how many requests await their reply. The code looks every transition up in the rows
below (`protocol.states.advance`), and this page is made from the same rows.

A row that leads back to its own state says that the input is expected there and changes nothing. A pair of state and
input that no row lists is a bug in the code that drives the machine, never a fault of the peer's: it raises
`UnlistedTransition`."""


def states_page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for machine in MACHINES:
        begin = " or ".join(f"`{state}`" for state in machine.initial)
        end = " and ".join(f"`{state}`" for state in machine.terminal)
        parts += [
            f"## {machine.name}",
            f"{_ABOUT[machine.name]} It begins in {begin}; no row leaves {end}.",
            f"```mermaid\n{mermaid(machine)}\n```",
            "Every state against every input; an empty cell is a pair that no row lists.",
            matrix(machine),
            "The rows, each with its number in the diagram and its reason.",
            rows(machine),
        ]
    parts += ["## Couplings", "The machines meet in these rows and nowhere else.", couplings()]
    return "\n\n".join(parts) + "\n"
