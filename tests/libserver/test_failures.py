"""What an operator reads of a handler that failed, and what is no handler's failure."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libserver import Actions, BinaryReply, Reply
from libserver.failures import is_ctrl_c, shown
from multiconn.commands.server_log import JsonFormatter, TextFormatter
from tests.support.peer import PATIENCE
from tests.support.server import ANY_PORT, Turned, serving, turned
from tests.support.wire import ask, binary, keep

HERE = Path(__file__)


def crash(request: Any) -> object:
    raise KeyError("name\x1b[31m\nforged")


def crash_with_session(request: Any, session: Any) -> object:
    return crash(request)


class Iterates(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("in the middle")


class Shy(list[Any]):
    def __repr__(self) -> str:
        raise RuntimeError("nothing to see")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def failing() -> Actions:
    actions = Actions()
    for blocking in (False, True):
        kind = " in a thread" if blocking else ""
        actions.add(f"crash{kind}", blocking=blocking)(crash)
        actions.add(f"crash with session{kind}", blocking=blocking)(crash_with_session)
        actions.add(f"set{kind}", blocking=blocking)(lambda request: {1})
        actions.add(f"exit{kind}", blocking=blocking)(lambda request: sys.exit("bye"))
        actions.add_binary(f"binary/crash{kind}", blocking=blocking)(crash)
        actions.add_binary(f"binary/text{kind}", blocking=blocking)(lambda content: "text")
    return actions


LINE_OF_CRASH = inspect.getsourcelines(crash)[1] + 1
LINE_OF_REGISTERING = inspect.getsourcelines(failing)[1]


def walk(home: Turned, data: bytes) -> bytes:
    """Its last byte comes later, so the batch does not take it."""
    home.peers[-1].send(data[:-1])
    home.quiet()
    return data[-1:]


def all_at_once(home: Turned, data: bytes) -> bytes:
    return data


def together(home: Turned, data: bytes) -> bytes:
    """With another one that is ready: both are answered in one step."""
    other = home.peer()
    other.send(keep("echo"))
    other.reply()
    home.server.loop.ready = 2
    (_, message) = home.server.connections
    message.data_received(ask("echo"))  # type: ignore[union-attr]
    return data


@pytest.mark.parametrize("way", [all_at_once, walk, together])
@pytest.mark.parametrize("kind", ["", " in a thread"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("crash", r"failed: KeyError: 'name\x1b[31m\nforged'"),
        ("crash with session", r"failed: KeyError: 'name\x1b[31m\nforged'"),
        ("set", "returned what can't be sent: set {1} (a set is not something JSON can carry)"),
        ("exit", "failed: SystemExit: bye"),
        ("binary/crash", r"failed: KeyError: 'name\x1b[31m\nforged'"),
        ("binary/text", "returned what can't be sent: str 'text' (a binary handler must return bytes"),
    ],
)
def test_the_log_names_the_action_the_peer_what_it_raised_or_returned_and_where_it_is_registered(
    what: str, words: str, kind: str, way: Callable[[Turned, bytes], bytes]
) -> None:
    name = f"{what}{kind}"
    if kind and what == "exit":
        words = "failed: RuntimeError: the handler raised SystemExit('bye')"
    with turned(failing()) as home:
        peer = home.peer()
        peer.send(keep("echo"))
        peer.reply()
        host, port = peer.sock.getsockname()
        data = binary(b"bytes", name) if "/" in what else ask(name)
        peer.send(way(home, data))
        failed = peer.reply()
        assert failed.code == "handler-failed"
        assert b"KeyError" not in failed.content
        (record,) = home.log.records
    text = TextFormatter().format(record)
    first, *others = text.split("\n")
    subject = f"the handler of {name!r}" if "/" in what else f"action {name!r}"
    assert f" error: {subject} {words}" in first
    assert f" event=handler-failed connection=1 peer={host}:{port} " in first
    fields = vars(record)
    assert fields["action"] == name
    assert fields["requests"] >= 1
    path, _, line = fields["registered"].rpartition(":")
    assert Path(path) == HERE
    assert LINE_OF_REGISTERING < int(line) < LINE_OF_REGISTERING + 12
    if "crash" in what:
        frames = [line for line in others if line.strip().startswith("File ")]
        assert 'crash.py", line' not in frames[0]
        assert f", line {LINE_OF_CRASH}, in crash" in frames[-1]
        assert all(HERE.name in frame for frame in frames)  # ours stand in front, and tell nobody anything
    elif what != "exit":
        assert others == []  # it would have our own lines alone
    assert "\x1b" not in text
    assert not [line for line in others if not line.startswith("    ")]


def test_of_a_result_that_fails_in_its_own_code_the_traceback_is_told() -> None:
    actions = Actions()
    actions.add("iterates")(lambda request: Reply(result=Iterates(a=1)))
    with turned(actions) as home:
        peer = home.peer()
        peer.send(ask("iterates"))
        peer.reply()
        (record,) = home.log.records
    text = TextFormatter().format(record)
    assert "returned what can't be sent: Reply " in text
    assert "RuntimeError: in the middle" in text
    assert f'File "{HERE}"' in text


@pytest.mark.parametrize(
    "result",
    [10**5000, ["x" * 10**6] * 1000, Shy(), BinaryReply(b"", "x" * 10**6)],
    ids=["digits", "long", "shy", "object"],
)
def test_whatever_was_returned_it_is_shown_briefly(result: object) -> None:
    assert len(shown(result)) <= 200
    assert shown(result).startswith(type(result).__name__)


def test_an_exception_without_words_is_told_all_the_same() -> None:
    actions = Actions()

    @actions.add("mute")
    def mute(request: Any) -> object:
        raise Mute

    with turned(actions) as home:
        peer = home.peer()
        peer.send(ask("mute"))
        assert peer.reply().code == "handler-failed"
        (record,) = home.log.records
    assert "failed: Mute: (its words can't be had: RuntimeError)" in record.getMessage()
    assert JsonFormatter().format(record)


# --- Ctrl-C --------------------------------------------------------------------------------


@pytest.fixture
def sigint() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def interrupting() -> Actions:
    actions = Actions()

    @actions.add("interrupt")
    def interrupt(request: Any) -> object:
        raise KeyboardInterrupt

    actions.add("interrupt in a thread", blocking=True)(interrupt)
    actions.add_binary("binary/interrupt")(interrupt)
    return actions


@pytest.mark.parametrize(
    "request_", [ask("interrupt"), ask("interrupt in a thread"), binary(b"", "binary/interrupt")], ids=str
)
def test_a_handlers_own_keyboard_interrupt_is_its_failure_where_ctrl_c_drains(sigint: None, request_: bytes) -> None:
    signal.signal(signal.SIGINT, lambda number, frame: None)
    with turned(interrupting()) as home:
        for times in (1, 2):  # in the batch, and in the walk
            peer = home.peer()
            peer.send(keep("echo"))
            peer.reply()
            peer.send(request_ * times)
            assert {reply.code for reply in peer.replies(times)} == {"handler-failed"}


def test_ctrl_c_itself_ends_a_program_that_has_left_it_to_python(sigint: None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with turned(interrupting()) as home:
        peer = home.peer()
        peer.send(ask("interrupt"))
        with pytest.raises(KeyboardInterrupt):
            home.quiet()


def test_a_thread_never_sees_ctrl_c(sigint: None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(is_ctrl_c(KeyboardInterrupt())))
    thread.start()
    thread.join(PATIENCE)
    assert found == [False]
    with turned(interrupting(), (ANY_PORT,)) as home:
        peer = home.peer()
        peer.send(ask("interrupt in a thread"))
        assert peer.reply().code == "handler-failed"
    with serving(interrupting()) as house:  # not in the main thread
        peer = house.peer()
        peer.send(ask("interrupt"))
        assert peer.reply().code == "handler-failed"
