"""The tables are complete and argued, the code runs from them, and nothing goes around them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from protocol import CLIENT, SERVER, Codec, Connection, Limits, LocalError, states
from protocol.states import (
    COUPLED,
    COUPLINGS,
    LIFECYCLE,
    MACHINES,
    RECEIVE,
    IsolatedObserver,
    Machine,
    Row,
    UnlistedTransition,
    advance,
    advance_through,
    begin,
)
from tests.support.wire import framed, header, message, request

ROOT = Path(__file__).parents[2]


class Subject:
    """What a state machine needs to know of whoever is in its state."""

    def __init__(self, observer: object = None) -> None:
        self.observer = observer


class Recorder:
    """An observer that notes what it is told."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.seen: list[tuple[object, Machine, str]] = []

    def transition(self, subject, machine, row) -> None:
        self.rows.append(row)
        self.seen.append((subject, machine, subject.state))


def pairs(machine: Machine) -> list:
    return [pytest.param(machine, s, i, id=f"{machine.name}-{s}-{i}") for s in machine.states for i in machine.inputs]


EVERY_PAIR = [pair for machine in MACHINES for pair in pairs(machine)]

# --- the tables -----------------------------------------------------------------------------


@pytest.mark.parametrize(("machine", "state", "given"), EVERY_PAIR)
def test_every_pair_of_state_and_input_is_a_row_or_an_error(machine, state, given):
    recorder = Recorder()
    subject = Subject(recorder)
    states._enter(subject, state)
    listed = [row for row in machine.rows if (row.state, row.input) == (state, given)]
    if listed:
        [expected] = listed
        assert advance(subject, machine, given) is expected
        assert subject.state == expected.target
        assert recorder.rows == [expected]
        assert recorder.seen == [(subject, machine, expected.target)]
    else:
        with pytest.raises(UnlistedTransition) as caught:
            advance(subject, machine, given)
        assert caught.value.machine is machine
        assert caught.value.pair == (state, given)
        assert state in str(caught.value)
        assert given in str(caught.value)
        assert subject.state == state
        assert recorder.rows == []


def test_without_an_observer_a_row_is_taken_and_nobody_told():
    subject = Subject()
    begin(subject, RECEIVE, states.PROTOHEADER)
    assert advance(subject, RECEIVE, states.PREFIX_READ).target == states.JSONHEADER
    assert subject.state == states.JSONHEADER


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_an_input_that_no_machine_knows_is_an_error(machine):
    with pytest.raises(UnlistedTransition):
        machine.row(machine.initial[0], "SNEEZED")
    with pytest.raises(UnlistedTransition):
        machine.row("ASLEEP", machine.inputs[0])


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_every_row_has_a_reason_of_its_own_in_words(machine):
    for row in machine.rows:
        assert len(row.reason.split()) >= 3, row
        assert row.reason == row.reason.strip(), row
    # "already on the way out" is said of several inputs; else a reason belongs to one row
    reasons = [row.reason for row in machine.rows if row.state != row.target]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_every_state_can_be_reached_and_can_reach_the_end(machine):
    def reached_from(begun: set[str], edges: set[tuple[str, str]]) -> set[str]:
        while more := {target for source, target in edges if source in begun} - begun:
            begun = begun | more
        return begun

    forward = {(row.state, row.target) for row in machine.rows}
    assert reached_from(set(machine.initial), forward) == set(machine.states)
    backward = {(target, source) for source, target in forward}
    assert reached_from(set(machine.terminal), backward) == set(machine.states)


def test_each_machine_ends_in_one_state_that_nothing_leaves():
    assert RECEIVE.terminal == (states.ENDED,)
    assert LIFECYCLE.terminal == (states.CLOSED,)
    for machine in MACHINES:
        assert not [row for row in machine.rows if row.state in machine.terminal]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_every_name_in_a_table_is_a_constant_of_the_module(machine):
    for name in (*machine.states, *machine.inputs):
        assert getattr(states, name) is name


def test_couplings_name_real_states_and_inputs_and_argue():
    for coupling in COUPLINGS:
        assert coupling.entered in RECEIVE.states
        assert coupling.input in LIFECYCLE.inputs
        assert len(coupling.reason.split()) >= 3
    assert {c.entered: c.input for c in COUPLINGS} == COUPLED
    assert len(COUPLED) == len(COUPLINGS)


def test_every_state_that_reads_no_more_messages_is_coupled():
    reading = {row.state for row in RECEIVE.rows if row.input in (states.PREFIX_READ, states.HEADER_READ)}
    reading |= {row.state for row in RECEIVE.rows if row.input == states.CONTENT_READ}
    assert set(COUPLED) == set(RECEIVE.states) - reading


def test_a_coupled_input_is_listed_while_the_connection_lives():
    for given in COUPLED.values():
        for state in (states.OPEN, states.DRAINING):
            assert LIFECYCLE.row(state, given)


def test_two_rows_for_one_pair_are_refused():
    row = Row("A", "GO", "B", "they said so")
    with pytest.raises(ValueError, match="two rows"):
        Machine("TWICE", ("A",), (row, row._replace(target="A")))


def test_a_subject_begins_only_in_an_initial_state():
    with pytest.raises(ValueError, match="does not begin in CONTENT"):
        begin(Subject(), RECEIVE, states.CONTENT)
    for state in LIFECYCLE.initial:
        subject = Subject()
        begin(subject, LIFECYCLE, state)
        assert subject.state == state


def test_a_machine_shows_its_size():
    assert repr(RECEIVE) == f"<Machine RECEIVE: 6 states, {len(RECEIVE.rows)} rows>"


# --- every row of RECEIVE, driven by bytes -------------------------------------------------------

GOOD = request({"action": "x"}, connection="keep-alive")
LAST = request({"action": "x"}, connection="close")
HEADER = GOOD[: 2 + GOOD[1]]
BAD_HEADER = framed(b"[]")

#: What brings a fresh connection of either role into a state.
INTO = {
    states.PROTOHEADER: b"",
    states.JSONHEADER: HEADER[:2],
    states.CONTENT: HEADER,
    states.FINISHED: LAST,
    states.FAILED: BAD_HEADER,
    states.ENDED: None,
}

EOF, GIVE_UP = "eof", "give up"

#: What may happen to a connection in a state -> the state it is in afterwards. Read with the
#: table beside it; that they agree is what is tested.
DRIVEN = {
    states.PROTOHEADER: {
        b"": states.PROTOHEADER,
        b"\0": states.PROTOHEADER,
        b"\0\0": states.FAILED,
        b"\xff\xff": states.FAILED,
        HEADER[:2]: states.JSONHEADER,
        HEADER: states.CONTENT,
        BAD_HEADER: states.FAILED,
        header(10**9): states.FAILED,
        GOOD: states.PROTOHEADER,
        LAST: states.FINISHED,
        EOF: states.ENDED,
        GIVE_UP: states.FAILED,
    },
    states.JSONHEADER: {
        b"": states.JSONHEADER,
        b"{": states.JSONHEADER,
        HEADER[2:]: states.CONTENT,
        b"[" * len(HEADER[2:]): states.FAILED,
        HEADER[2:].replace(b": 15", b":1e9"): states.FAILED,
        GOOD[2:]: states.PROTOHEADER,
        EOF: states.ENDED,
        GIVE_UP: states.FAILED,
    },
    states.CONTENT: {
        b"": states.CONTENT,
        b"{": states.CONTENT,
        GOOD[len(HEADER) :]: states.PROTOHEADER,
        b"\xff" * 15: states.PROTOHEADER,
        GOOD[len(HEADER) :] + b"\0\0": states.FAILED,
        EOF: states.ENDED,
        GIVE_UP: states.FAILED,
    },
    states.FINISHED: {
        b"": states.FINISHED,
        b"\0\0": states.FINISHED,
        GOOD: states.FINISHED,
        EOF: states.ENDED,
        GIVE_UP: UnlistedTransition,
    },
    states.FAILED: {
        b"": states.FAILED,
        b"\0\0": states.FAILED,
        GOOD: states.FAILED,
        EOF: states.ENDED,
        GIVE_UP: UnlistedTransition,
    },
    states.ENDED: {
        b"": states.ENDED,
        b"\0\0": states.ENDED,
        GOOD: states.ENDED,
        EOF: states.ENDED,
        GIVE_UP: UnlistedTransition,
    },
}

DRIVES = [
    pytest.param(role, state, given, target, id=f"{role}-{state}-{given[:12]!r}-{target}")
    for role in (SERVER, CLIENT)
    for state, drives in DRIVEN.items()
    for given, target in drives.items()
]


def connection_in(state: str, role: str) -> tuple[Connection, Recorder]:
    """A connection that bytes have brought into `state`, and who watched it."""
    recorder = Recorder()
    connection = Connection(Codec(role, Limits(max_header=1000)), recorder)
    if INTO[state] is None:
        connection.receive_eof()
    else:
        connection.receive_data(INTO[state])
    assert connection.state == state
    return connection, recorder


def drive(connection: Connection, given: bytes | str) -> None:
    if given == EOF:
        connection.receive_eof()
    elif given == GIVE_UP:
        connection.give_up()
    else:
        connection.receive_data(given)


@pytest.mark.parametrize(("role", "state", "given", "target"), DRIVES)
def test_any_input_in_any_state_leads_where_the_table_says(role, state, given, target):
    connection, recorder = connection_in(state, role)
    begun = len(recorder.rows)
    if target is UnlistedTransition:
        with pytest.raises(UnlistedTransition):
            drive(connection, given)
        assert connection.state == state
        return
    drive(connection, given)
    assert connection.state == target
    at = state
    for row in recorder.rows[begun:]:  # each step is a row, and they join up
        assert row in RECEIVE.rows
        assert row.state == at
        at = row.target
    assert at == target


@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_every_row_of_receive_is_taken_by_bytes(role):
    taken = set()
    for state, drives in DRIVEN.items():
        for given, target in drives.items():
            connection, recorder = connection_in(state, role)
            if target is not UnlistedTransition:
                drive(connection, given)
            taken.update(recorder.rows)
    assert taken == set(RECEIVE.rows)


@pytest.mark.parametrize("role", [SERVER, CLIENT])
@pytest.mark.parametrize("state", RECEIVE.states)
def test_sending_in_any_state_changes_no_state(role, state):
    connection, _ = connection_in(state, role)
    connection.in_flight = 1
    if role is SERVER:
        connection.send_json(None, b"{}")
        with pytest.raises(LocalError):
            connection.send_json(None, b"{}")
    else:
        with pytest.raises(LocalError):
            connection.send_json(None, b"{}")
    assert connection.state == state


def test_an_observer_is_told_of_every_row_in_order():
    recorder = Recorder()
    connection = Connection(Codec(SERVER), recorder)
    connection.receive_data(GOOD + LAST)
    connection.receive_eof()
    assert [row.input for row in recorder.rows] == [
        *("PREFIX_READ", "HEADER_READ", "CONTENT_READ"),
        *("PREFIX_READ", "HEADER_READ", "LAST_CONTENT_READ", "EOF_READ"),
    ]
    assert recorder.seen == [(connection, RECEIVE, row.target) for row in recorder.rows]


def test_bytes_and_events_alone_never_ask_for_an_unlisted_pair():
    for role in (SERVER, CLIENT):
        for first in (GOOD, LAST, BAD_HEADER, HEADER, b"\0", message(b"", "x/y"), b""):
            connection = Connection(Codec(role))
            for data in (first, GOOD, b"\0\0"):
                connection.receive_data(data)
            connection.receive_eof()
            connection.receive_data(GOOD)
            connection.receive_eof()
            assert connection.state == states.ENDED


# --- nobody else assigns a state ---------------------------------------------------------------

PACKAGES = ("protocol", "eventloop", "libserver", "libclient")


def assignments_of_state(source: str) -> list[tuple[str, int]]:
    """Where a source text assigns or deletes an attribute called `state`: (function, line)."""
    found = []

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            function = node.name
        if isinstance(node, ast.AnnAssign) and node.value is None:
            return  # `self.state: str` declares and assigns nothing
        attribute = isinstance(node, ast.Attribute) and node.attr == "state" and not isinstance(node.ctx, ast.Load)
        if attribute or (isinstance(node, ast.Call) and _sets_by_name(node)):
            found.append((function, node.lineno))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), "")
    return found


def _sets_by_name(call: ast.Call) -> bool:
    names = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    function = ast.unparse(call.func).split(".")[-1]
    return "state" in names and function in ("setattr", "__setattr__", "delattr", "__delattr__")


@pytest.mark.parametrize(
    "source",
    [
        "def f(x): x.state = 1",
        "def f(x): x.y.state = 1",
        "def f(x): x.state: str = 1",
        "def f(x): x.state += 1",
        "def f(x): x.state, y = 1, 2",
        "def f(x): (y, [*x.state]) = z",
        "def f(x): del x.state",
        "def f(x):\n for x.state in y: pass",
        "def f(x):\n with y as x.state: pass",
        "def f(x): setattr(x, 'state', 1)",
        "def f(x): object.__setattr__(x, 'state', 1)",
    ],
)
def test_the_search_for_assignments_sees_them(source):
    assert [function for function, _ in assignments_of_state(source)] == ["f"]


@pytest.mark.parametrize("source", ["class C:\n state: str", "def f(x): x.state: str", "y = x.state", "state = 1"])
def test_the_search_for_assignments_sees_nothing_else(source):
    assert assignments_of_state(source) == []


def test_only_one_function_of_the_project_assigns_a_state():
    found = {
        (path.relative_to(ROOT).as_posix(), function)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for function, _ in assignments_of_state(path.read_text(encoding="utf-8"))
    }
    assert found == {("protocol/states.py", "_enter")}


# --- observers that fail ------------------------------------------------------------------------


def test_an_observer_that_fails_is_let_go_and_its_subject_moves_on():
    class Broken:
        calls = 0

        def transition(self, *_):
            self.calls += 1
            raise RuntimeError("the instrument broke")

    broken, failures = Broken(), []
    isolated = IsolatedObserver(broken, failures.append)
    connection = Connection(Codec(SERVER), isolated)
    assert isolated.inner is broken
    connection.receive_data(request({"action": "echo"}))
    assert connection.state == "FINISHED"
    assert [str(error) for error in failures] == ["the instrument broke"]
    assert (isolated.inner, broken.calls) == (None, 1)


def test_an_observer_that_is_well_hears_everything():
    class Rows(list):
        def transition(self, subject, machine, row):
            self.append(row.input)

    rows = Rows()
    Connection(Codec(SERVER), IsolatedObserver(rows, pytest.fail)).receive_data(request({"action": "echo"}))
    assert rows == ["PREFIX_READ", "HEADER_READ", "LAST_CONTENT_READ"]


# --- several rows at once ------------------------------------------------------------------------

WHOLE = ("PREFIX_READ", "HEADER_READ", "LAST_CONTENT_READ")


def test_without_an_observer_several_rows_are_one_step_to_where_they_lead():
    for _ in range(2):  # looked up, then remembered
        subject = Subject()
        begin(subject, RECEIVE, "PROTOHEADER")
        advance_through(subject, RECEIVE, WHOLE)
        assert subject.state == "FINISHED"


def test_an_observer_is_told_of_each_of_several_rows():
    recorder = Recorder()
    subject = Subject(recorder)
    begin(subject, RECEIVE, "PROTOHEADER")
    advance_through(subject, RECEIVE, WHOLE)
    assert [row.input for row in recorder.rows] == [*WHOLE]
    assert [state for _, _, state in recorder.seen] == ["JSONHEADER", "CONTENT", "FINISHED"]


@pytest.mark.parametrize("given", [("EOF_READ", "PREFIX_READ"), ("HEADER_READ",)])
def test_several_rows_of_which_one_is_not_listed_are_refused(given):
    subject = Subject()
    begin(subject, RECEIVE, "PROTOHEADER")
    for _ in range(2):
        with pytest.raises(UnlistedTransition):
            advance_through(subject, RECEIVE, given)
        assert subject.state == "PROTOHEADER"
