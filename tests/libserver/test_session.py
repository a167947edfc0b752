"""What handlers know of a connection, and how many requests it has served."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from libserver import Actions, Session
from tests.support.peer import PATIENCE
from tests.support.server import ANY_PORT, turned
from tests.support.wire import ask, binary, json_message, keep


def remembering() -> tuple[Actions, list[Session]]:
    """A registry with every session that its handlers have seen."""
    actions = Actions()
    seen: list[Session] = []

    def look(request: Any, session: Session) -> str:
        seen.append(session)
        return session.peer

    actions.add("look")(look)
    actions.add("slowly", blocking=True)(look)
    return actions, seen


@pytest.mark.parametrize("action", ["look", "slowly"])
@pytest.mark.parametrize(("listen", "shown"), [(ANY_PORT, "{}:{}"), ("tcp://[::1]:0", "[{}]:{}")])
def test_a_session_has_the_peers_address(action: str, listen: str, shown: str) -> None:
    actions, _ = remembering()
    with turned(actions, (listen,)) as house:
        peer = house.peer()
        peer.send(ask(action))
        assert peer.reply().result == shown.format(*peer.sock.getsockname())


def test_a_unix_peer_has_no_address(tmp_path: Path) -> None:
    actions, _ = remembering()
    with turned(actions, (f"unix:{tmp_path}/socket",)) as house:
        peer = house.peer()
        peer.send(ask("look"))
        assert peer.reply().result == "unix"


def test_a_session_is_the_same_for_as_long_as_the_connection_lives_though_nothing_is_in_it() -> None:
    actions, seen = remembering()
    with turned(actions) as house:
        peer = house.peer()
        for action in ("look", "slowly", "look"):
            peer.send(keep(action))
            peer.reply()
        assert seen[0] is seen[1] is seen[2]
        assert not seen[0].closed
        peer.close()
        house.ended()
        assert seen[0].closed


def test_a_handler_in_a_thread_learns_that_its_connection_has_ended() -> None:
    actions = Actions()
    began, over, learned = threading.Event(), threading.Event(), []

    @actions.add("wait", blocking=True)
    def wait(request: Any, session: Session) -> None:
        began.set()
        assert over.wait(PATIENCE)
        learned.append(session.closed)

    with turned(actions) as house:
        peer = house.peer()
        peer.send(keep("wait"))
        house.until(began.is_set)
        peer.reset()
        house.ended()
        over.set()
        house.until(lambda: learned)
    assert learned == [True]


def test_a_session_that_is_made_after_the_end_is_closed() -> None:
    with turned() as house:
        peer = house.peer()
        message = house.only
        peer.reset()
        house.ended()
        session = message.session()
    assert session.closed
    assert session.peer == "?"


# --- requests ------------------------------------------------------------------------------


def test_every_request_is_counted_whichever_way_it_is_answered() -> None:
    actions, _ = remembering()
    with turned(actions) as house:
        peer = house.peer()
        counted = 0

        def asked(count: int, *parts: bytes) -> None:
            nonlocal counted
            counted += count
            for part in parts:
                peer.send(part)
                house.quiet()
            peer.replies(count)
            assert int(house.only.requests) == counted

        asked(1, keep("echo"))  # the first of a connection
        asked(1, ask("echo"))  # at rest
        asked(3, ask("echo") * 3)  # pipelined
        asked(1, *(ask("echo")[at : at + 1] for at in range(len(ask("echo")))))  # byte by byte
        asked(1, ask("confirm"))  # with a session, which stays
        asked(1, ask("look"))
        asked(1, binary(b"bytes"))
        asked(1, ask("no such action"))
        asked(1, json_message([]))
        asked(1, json_message({"action": "echo"}, "utf-8", deadline_ms=0))
        asked(1, keep("echo")[:-1] + b"?")  # no JSON
        asked(1, ask("slowly"))  # by the pool
        asked(12, ask("slowly") * 12)  # more than the pool has room for
        asked(300, ask("echo") * 300)
        assert house.only.idle


def test_requests_that_are_answered_together_are_counted_for_each_connection() -> None:
    with turned() as house:
        peers = [house.peer() for _ in range(3)]
        for asked in range(1, 4):
            for peer in peers:
                peer.send(keep("echo"))
            for peer in peers:
                peer.reply()
            assert [int(message.requests) for message in house.server.connections] == [asked] * 3


def test_a_message_that_is_no_request_is_not_counted() -> None:
    with turned() as house:
        peer = house.peer()
        peer.send(ask("echo") + b"\0\0")
        peer.reply()
        peer.finish()
        house.ended()
        peer = house.peer()
        message = house.only
        peer.send(b"\0\0")
        assert peer.reply().code == "bad-header"
        assert int(message.requests) == 0
