"""Is every row of LIFECYCLE that a server can take really taken, and by what?

One scenario for each row, made of bytes, resets, timers and signals' equivalents. The last test
compares them with the table: a new row needs a scenario, a row that nobody takes must go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import libserver.ending
import libserver.message
from libserver.limits import LINGER
from protocol import states
from protocol.states import (
    ABORTED,
    CONNECTING,
    DRAINING,
    INPUT_FAILED,
    LAST_MESSAGE,
    LIFECYCLE,
    LINGER_EXPIRED,
    LINGERING,
    LOST,
    OPEN,
    PEER_EOF,
    RELEASED,
    SETTLED,
    SETTLED_AFTER_EOF,
    SHUTDOWN,
    Machine,
    Row,
)
from tests.libserver.test_message import Doors, doors
from tests.support.peer import Peer
from tests.support.server import Turned, turned
from tests.support.wire import ask, binary, framed, keep

Pair = tuple[str, str]
Scenario = Callable[[Turned, Doors], None]

SCENARIOS: dict[Pair, Scenario] = {}


def row(state: str, given: str) -> Callable[[Scenario], Scenario]:
    def register(scenario: Scenario) -> Scenario:
        assert SCENARIOS.setdefault((state, given), scenario) is scenario
        return scenario

    return register


def kept_alive(home: Turned) -> Peer:
    peer = home.peer()
    peer.send(keep("echo", 1))
    assert peer.reply().connection == "keep-alive"
    return peer


def blocked(home: Turned, d: Doors, request: bytes) -> Peer:
    """A peer whose request a handler works on."""
    peer = home.peer()
    peer.send(request)
    home.until(lambda: d.begun)
    return peer


def lingering(home: Turned) -> Peer:
    peer = home.peer()
    peer.send(framed(b"[]"))
    assert peer.reply().code == "bad-header"
    home.quiet()
    assert home.only.state == LINGERING
    return peer


@row(OPEN, PEER_EOF)
@row(DRAINING, SETTLED_AFTER_EOF)
def peer_finishes(home: Turned, d: Doors) -> None:
    kept_alive(home).finish()
    assert home.ended() == {"peer-closed": 1}


@row(OPEN, LAST_MESSAGE)
@row(DRAINING, SETTLED)
def one_shot_with_more_behind_it(home: Turned, d: Doors) -> None:
    peer = home.peer()
    peer.send(ask("echo", 1), b"more")
    assert peer.reply().result == 1
    peer.eof()


@row(DRAINING, RELEASED)
def one_shot_and_nothing_else(home: Turned, d: Doors) -> None:
    peer = home.peer()
    peer.send(ask("echo", 1))
    assert peer.reply().result == 1
    peer.eof()
    assert home.ended() == {"served": 1}


@row(OPEN, INPUT_FAILED)
def framing_is_lost(home: Turned, d: Doors) -> None:
    lingering(home)


@row(OPEN, SHUTDOWN)
def drain_inside_a_message(home: Turned, d: Doors) -> None:
    peer = home.peer()
    request = keep("echo", 1)
    peer.send(request[:5])
    home.quiet()
    home.server.drain()
    home.quiet()
    peer.send(request[5:])
    assert peer.reply().connection == "close"


@row(OPEN, RELEASED)
def drain_between_messages(home: Turned, d: Doors) -> None:
    peer = kept_alive(home)
    home.server.drain()
    peer.eof()
    assert home.ended() == {"shutdown": 1}


@row(OPEN, LOST)
def reset(home: Turned, d: Doors) -> None:
    kept_alive(home).reset()
    assert home.ended() == {"reset": 1}


@row(OPEN, ABORTED)
def second_signal(home: Turned, d: Doors) -> None:
    kept_alive(home)
    home.server.stop()
    assert home.ended() == {"cut": 1}


@row(DRAINING, PEER_EOF)
def peer_finishes_behind_its_last_message(home: Turned, d: Doors) -> None:
    peer = blocked(home, d, ask("wait", "slow"))
    peer.finish()
    home.quiet()
    d.open("slow")
    assert peer.reply().result == "slow"
    assert home.ended() == {"served": 1}


@row(DRAINING, LAST_MESSAGE)
def last_message_was_begun_when_the_drain_came(home: Turned, d: Doors) -> None:
    peer = home.peer()
    request = ask("echo", 1, connection="close")
    peer.send(request[:5])
    home.quiet()
    home.server.drain()
    home.quiet()
    peer.send(request[5:])
    assert peer.reply().result == 1


@row(DRAINING, INPUT_FAILED)
def framing_is_lost_after_the_drain(home: Turned, d: Doors) -> None:
    peer = home.peer()
    broken = framed(b"[1, 2, 3]")
    peer.send(broken[:1])
    home.quiet()
    home.server.drain()
    home.quiet()
    peer.send(broken[1:])
    assert peer.reply().code == "bad-header"


@row(DRAINING, SHUTDOWN)
def drain_while_the_last_reply_is_made(home: Turned, d: Doors) -> None:
    peer = blocked(home, d, ask("wait", "slow"))
    home.server.drain()
    home.quiet()
    d.open("slow")
    assert peer.reply().result == "slow"
    peer.finish()
    assert home.ended() == {"served": 1}


@row(DRAINING, LOST)
def reset_before_the_last_reply(home: Turned, d: Doors) -> None:
    blocked(home, d, ask("wait", "slow")).reset()
    assert home.ended() == {"reset": 1}


@row(DRAINING, ABORTED)
def drain_timeout(home: Turned, d: Doors) -> None:
    blocked(home, d, ask("wait", "slow"))
    home.server.drain()
    home.advance(10.0)
    assert home.ended() == {"cut": 1}


@row(LINGERING, PEER_EOF)
def peer_finishes_too(home: Turned, d: Doors) -> None:
    lingering(home).finish()
    assert home.ended() == {"bad-framing": 1}


@row(LINGERING, SHUTDOWN)
def drain_while_lingering(home: Turned, d: Doors) -> None:
    peer = lingering(home)
    home.server.drain()
    home.quiet()
    assert home.only.state == LINGERING
    peer.finish()
    assert home.ended() == {"bad-framing": 1}


@row(LINGERING, LINGER_EXPIRED)
def peer_never_finishes(home: Turned, d: Doors) -> None:
    lingering(home)
    home.advance(LINGER)
    assert home.ended() == {"bad-framing": 1}


@row(LINGERING, LOST)
def reset_while_lingering(home: Turned, d: Doors) -> None:
    lingering(home).reset()
    assert home.ended() == {"bad-framing": 1}


@row(LINGERING, ABORTED)
def second_signal_while_lingering(home: Turned, d: Doors) -> None:
    lingering(home)
    home.server.stop()
    assert home.ended() == {"bad-framing": 1}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> set[Pair]:
    """The rows of LIFECYCLE that are taken where nobody watches."""
    pairs: set[Pair] = set()
    original = states.advance

    def advance(subject: Any, machine: Machine, given: str) -> Row:
        taken_row = original(subject, machine, given)
        if machine is LIFECYCLE:
            pairs.add((taken_row.state, taken_row.input))
        return taken_row

    for module in (libserver.message, libserver.ending):
        monkeypatch.setattr(module, "advance", advance)
    return pairs


@pytest.mark.parametrize(
    ("pair", "scenario"), SCENARIOS.items(), ids=[f"{state}-{given}" for state, given in SCENARIOS]
)
def test_the_row_is_taken(taken: set[Pair], pair: Pair, scenario: Scenario) -> None:
    with doors() as d, turned(d.actions) as home:
        scenario(home, d)
        assert pair in taken


def test_every_row_a_server_can_take_has_its_scenario() -> None:
    rows = {(r.state, r.input) for r in LIFECYCLE.rows if r.state != CONNECTING}
    assert rows == set(SCENARIOS)


def test_an_observer_hears_every_transition_of_a_connection_in_order() -> None:
    from tests.libserver.conftest import Rows

    seen: list[Rows] = []

    def observer() -> Rows:
        seen.append(Rows())
        return seen[-1]

    with turned(observer=observer) as home:
        peer = home.peer()
        peer.send(keep("echo", 1), binary(b"x", connection="close"))
        peer.replies(2)
        peer.eof()
        peer.finish()
        home.ended()
    (rows,) = seen
    message = ["PREFIX_READ", "HEADER_READ"]
    assert [given for name, _, given in rows.taken if name == "RECEIVE"] == [
        *message,
        "CONTENT_READ",
        *message,
        "LAST_CONTENT_READ",
    ]
    assert [(state, given) for name, state, given in rows.taken if name == "LIFECYCLE"] == [
        (OPEN, LAST_MESSAGE),
        (DRAINING, RELEASED),
    ]
