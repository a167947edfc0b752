"""`app_client.py chat` as people and programs run it: in a pipe, two at once, over a restart, in a crowd of 500.

On a terminal: test_chat_terminal.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from libserver import Actions, CloseReason, Message
from multiconn.commands.server_actions import builtin_actions
from tests.support.peer import PATIENCE, Peer, connected
from tests.support.scripted import Caller, ScriptedServer
from tests.support.server import Serving, serving
from tests.support.wire import Reply, request

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, str(ROOT / "app_client.py"), "chat"]


def house(**options: Any) -> contextlib.AbstractContextManager[Serving]:
    return serving(builtin_actions(), **options)


def target(home: Serving) -> str:
    return str(home.server.addresses[0].endpoint)


def piped(*words: str, typed: str | bytes = "") -> tuple[int, str, str]:
    """The command with this input; its exit code, and what it wrote."""
    done = subprocess.run(
        [*COMMAND, *words],
        input=typed.encode() if isinstance(typed, str) else typed,
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Guest:
    """A command that runs, with `--json`; what it shows is read line by line."""

    def __init__(self, home: str, name: str, *words: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, home, "--name", name, "--json", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.shown: list[dict[str, Any]] = []
        self._rest = b""

    def types(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def hears(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for such an event; those before it are passed over."""
        wanted = {"event": event, **{key.rstrip("_"): value for key, value in fields.items()}}
        deadline = time.monotonic() + PATIENCE
        while True:
            while self.shown:
                found = self.shown.pop(0)
                if wanted.items() <= found.items():
                    return found
            assert time.monotonic() < deadline, f"{wanted} was not shown"
            self.read(0.1)

    def read(self, seconds: float) -> bool:
        """Take what was shown; is there more to come?"""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return True
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self.shown += [json.loads(line) for line in whole]
        return bool(data)

    def ends(self, code: int = 0) -> list[dict[str, Any]]:
        """At the end of its input; what it still showed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        while self.read(PATIENCE):
            pass
        assert self.process.wait(PATIENCE) == code
        return self.shown


@contextlib.contextmanager
def guests(home: str, *names: str, words: tuple[str, ...] = ()) -> Iterator[list[Guest]]:
    """They have joined, one after the other."""
    found: list[Guest] = []
    try:
        for name in names:
            found.append(Guest(home, name, *words))
            found[-1].hears("joined")
        yield found
    finally:
        for guest in found:
            guest.process.kill()
            guest.process.wait()
            for stream in (guest.process.stdin, guest.process.stdout, guest.process.stderr):
                assert stream is not None
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


# --- a pipe -----------------------------------------------------------------------------


def test_a_pipe_says_all_that_is_typed_hears_it_and_ends_well() -> None:
    with house() as home:
        code, out, err = piped(target(home), "--name", "ann", typed="hello\n/me waves\n\n/who\nthe last line")
        assert code == 0, err
        said = [line[6:] for line in out.splitlines() if not line.startswith("--")]
        assert said == ["ann: hello", "* ann waves", "ann: the last line"]
        assert "-- in lobby: ann" in out.splitlines()
        assert err == "-- you are ann in lobby, alone; /help lists the commands\n"
        code, out, _ = piped(target(home), "--name", "bob")
        assert [line[6:] for line in out.splitlines()] == said, "who comes is shown what was said"
        assert code == 0


def test_who_starts_it_again_at_once_has_the_name() -> None:
    with house() as home:
        for _ in range(3):
            assert piped(target(home), "--name", "ann")[0] == 0


@pytest.mark.parametrize("stdin", [os.devnull, "closed"])
def test_without_an_input_it_shows_what_was_said_and_ends(stdin: str) -> None:
    with house() as home:
        command = [*COMMAND, target(home), "--name", "ann", "--json"]
        shell = ["sh", "-c", 'exec "$@" <&-', "sh"] if stdin == "closed" else []
        done = subprocess.run(
            [*shell, *command], stdin=subprocess.DEVNULL, capture_output=True, timeout=50, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["joined", "join"]


def test_ten_thousand_lines_of_a_file_are_said_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("".join(f"line {n}\n" for n in range(10_000)))
    with house() as home, path.open("rb") as lines:
        done = subprocess.run(
            [*COMMAND, target(home), "--name", "ann"], stdin=lines, capture_output=True, timeout=55, check=False
        )
        assert done.returncode == 0, done.stderr
        said = [line.split(b": ", 1)[1].decode() for line in done.stdout.splitlines()]
        assert said == [f"line {n}" for n in range(10_000)]


def test_what_makes_no_sense_or_is_too_long_is_told_and_the_rest_is_said() -> None:
    with house() as home:
        typed = "/nope\n" + "x" * 4097 + "\n" + "y" * 4096 + "\n"
        code, out, err = piped(target(home), "--name", "ann", typed=typed)
        assert code == 2
        assert [line[6:] for line in out.splitlines()] == ["ann: " + "y" * 4096]
        assert err.splitlines()[1:] == [
            "-- not sent: there is no /nope; /help lists what there is, and to say it write //nope",
            "-- not sent: a line has at most 4096 bytes, and this one has 4097: say it in several",
        ]


def test_a_line_that_the_server_refuses_makes_the_exit_code_4() -> None:
    with house() as home:
        code, _, err = piped(target(home), "--name", "ann", typed="/msg zoe hi\n/join a/b\n/quit\nnever said\n")
        assert code == 4
        assert "-- there is no zoe in lobby" in err.splitlines()
        assert "`room` has 1 to 32 printable characters" in err


def test_control_characters_are_never_shown_raw_whoever_sent_them() -> None:
    evil = "\x1b[2J\x07\x85\u202e\u2028"
    with house() as home:
        peer = join(home, "eve")
        for kind in ("say", "me"):
            does(peer, "chat-say", text=f"{evil}\n12:00 ann: forged", kind=kind)
        code, out, err = piped(target(home), "--name", "ann", typed=f"my own {evil}\n/join x{evil}\n".encode())
        assert code == 4
        assert out.replace("\n", "").isprintable()
        assert err.replace("\n", "").isprintable()
        assert out.count("\\x1b[2J\\x07\\x85\\u202e\\u2028") == 3
        assert len(out.splitlines()) == 3
        _, out, _ = piped(target(home), "--name", "bob", "--json")
        assert out.replace("\n", "").isprintable()
        assert json.loads(out.splitlines()[0])["text"] == f"{evil}\n12:00 ann: forged"


# --- what can't be -----------------------------------------------------------------------


def test_without_a_target_it_says_how_to_start_a_server() -> None:
    code, out, err = piped()
    assert (code, out) == (2, "")
    assert "python3 app_server.py" in err
    assert len(err.splitlines()) == 1
    code, _, err = piped("127.0.0.1:1")
    assert code == 2
    assert "--name NAME" in err


def test_where_nothing_listens_it_ends_with_3() -> None:
    code, _, err = piped("127.0.0.1:1", "--name", "ann")
    assert code == 3
    assert "start the server" in err


def test_a_name_that_is_taken_is_told_with_what_to_do() -> None:
    with house() as home:
        join(home, "Ann")
        code, out, err = piped(target(home), "--name", "ann", typed="hello\n")
    assert (code, out) == (4, "")
    assert err.endswith("name-taken: Ann is in lobby already: take another name\n")


def answers_anything(peer: Caller) -> None:
    """As a server does that knows no actions, or the tutorial's."""
    peer.request()
    peer.reply({"result": "hello"}, None)


def test_a_server_without_a_chat_room_is_found_out() -> None:
    with serving(Actions()) as home, ScriptedServer(answers_anything) as server:
        for address in (target(home), server.target):
            code, _, err = piped(address, "--name", "ann")
            assert (code, len(err.splitlines())) == (4, 1)
            assert f"no-chat-room: {address} has none" in err


# --- two at once ---------------------------------------------------------------------------


def test_two_talk_and_one_whispers() -> None:
    with house() as home, guests(target(home), "ann", "bob") as (ann, bob):
        ann.hears("join", from_="bob")
        ann.types("hello bob")
        bob.hears("message", from_="ann", text="hello bob")
        bob.types("/msg ANN psst", "/me leaves", "/join garden", "/who", "/rooms")
        assert ann.hears("private", from_="bob")["text"] == "psst"
        ann.hears("me", from_="bob", text="leaves")
        ann.hears("leave", from_="bob")
        bob.hears("sent", to="ann", text="psst")
        bob.hears("joined", room="garden", people=1)
        bob.hears("who", names=["bob"])
        assert bob.hears("rooms")["rooms"] == [{"room": "garden", "people": 1}, {"room": "lobby", "people": 1}]
        assert ann.ends() == []
        assert [shown for shown in bob.ends() if shown["event"] == "private"] == []


def test_no_third_person_gets_what_is_said_to_one_alone() -> None:
    with house() as home, guests(target(home), "ann", "bob") as (ann, bob):
        spy = home.peer()
        for pattern in ("chat/**", "chat/*", "chat/private/*", "chat/private/**"):
            assert does(spy, "subscribe", topic=pattern).code == "forbidden"
        assert does(spy, "chat-join", name="spy").code is None
        for pattern in ("chat/**", "chat/private/**"):
            assert does(spy, "subscribe", topic=pattern).code == "forbidden"
        ann.types("/msg bob secret", "all may hear this")
        bob.hears("private", text="secret")
        bob.hears("message", text="all may hear this")
        assert b"all may hear this" in until(spy, b"all may hear this")
        assert b"secret" not in spy.received


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_the_others_hear_that_it_went(number: int, code: int) -> None:
    with house() as home, guests(target(home), "ann", "bob") as (ann, bob):
        bob.process.send_signal(number)
        assert bob.process.wait(PATIENCE) == code
        ann.hears("leave", from_="bob")


# --- over a restart ------------------------------------------------------------------------


@contextlib.contextmanager
def command(port: int) -> Iterator[int]:
    """A server's own process; it drains at the end."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app_server.py"), "127.0.0.1", str(port), "--drain-grace", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        while "Listening on" not in (line := process.stderr.readline()):
            assert line, f"it ended with {process.wait()}"
        yield int(line.rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_over_a_restart_each_gets_their_name_back_and_says_what_was_typed_meanwhile() -> None:
    with contextlib.ExitStack() as stack:
        with command(0) as port:
            ann, bob = stack.enter_context(guests(f"127.0.0.1:{port}", "ann", "bob"))
            ann.types("before")
            bob.hears("message", text="before")
        for guest in (ann, bob):
            guest.hears("lost")
        ann.types("meanwhile")
        ann.hears("held", text="meanwhile")
        with command(port):
            for guest in (ann, bob):
                guest.hears("back", missed=None)
            bob.types("/who", "after")
            ann.hears("message", from_="bob", text="after")
            ann.ends()
            bob.types("/history")
            said = bob.hears("message", text="meanwhile", history=True)
            assert said["from"] == "ann"
            bob.ends()


def test_when_its_connection_alone_breaks_it_comes_back_under_its_name_and_shows_what_it_missed() -> None:
    with house() as home, guests(target(home), "ann", "bob") as (ann, bob):
        ann.hears("join", from_="bob")
        reset(home, "bob")
        bob.hears("lost")
        back = bob.hears("back")
        assert back["missed"] == 0
        ann.types("hello again")
        bob.hears("message", text="hello again")


def test_who_is_cut_off_has_the_name_back_though_the_server_believes_in_the_old_connection() -> None:
    with house() as home, Relay(home) as relay, guests(relay.target, "ann") as (ann,):
        bob = join(home, "bob")
        ann.hears("join", from_="bob")
        relay.cut()
        ann.hears("lost")
        does(bob, "chat-say", text="are you there?")
        ann.hears("back", missed=1)
        ann.hears("message", text="are you there?")
        assert sorted(does(bob, "members", topic="chat/room/lobby").result["names"]) == ["ann", "bob"]
        ann.types("yes")
        received = until(bob, b'"yes"')
        assert b'"leave"' not in received


def test_a_pipe_that_can_not_say_the_rest_ends_with_3() -> None:
    with command(0) as port, contextlib.ExitStack() as stack:
        (ann,) = stack.enter_context(guests(f"127.0.0.1:{port}", "ann", words=("--timeout", "500ms")))
        stack.callback(lambda: None)
        ended = stack.pop_all()
    with ended:
        ann.hears("lost")
        ann.types("too late")
        assert [shown["event"] for shown in ann.ends(3)] == ["held"]


# --- in a crowd ------------------------------------------------------------------------------


def test_with_500_others_in_the_room_everything_said_reaches_everyone() -> None:
    with house() as home, guests(target(home), "ann") as (ann,):
        crowd = [join(home, f"guest{n}") for n in range(500)]
        ann.hears("join", from_="guest499")
        ann.types("/who", "hello all")
        assert len(ann.hears("who")["names"]) == 501
        for peer in crowd:
            until(peer, b"hello all")
        for n, peer in enumerate(crowd[:50]):
            peer.send(asking("chat-say", text=f"hello from {n}"))
        heard = {ann.hears("message")["text"] for _ in range(51)} - {"hello all"}
        assert heard == {f"hello from {n}" for n in range(50)}
        for peer in crowd:
            peer.close()
        for _ in range(500):
            ann.hears("leave")
        ann.types("/who")
        assert ann.hears("who")["names"] == ["ann"]


# --- raw peers ---------------------------------------------------------------------------------


def asking(action: str, **fields: Any) -> bytes:
    return request({"action": action, **fields}, connection="keep-alive")


def does(peer: Peer, action: str, **fields: Any) -> Reply:
    """The reply; events before it are passed over."""
    peer.send(asking(action, **fields))
    while "event" in (reply := peer.reply()).header:
        pass
    return reply


def join(home: Serving, name: str) -> Peer:
    peer = Peer(connected(home.server.addresses[0]))
    home.peers.append(peer)
    assert does(peer, "chat-join", name=name).code is None
    return peer


def until(peer: Peer, words: bytes) -> bytes:
    """Read until these words came; they stay in what was received."""
    deadline = time.monotonic() + PATIENCE
    while words not in peer.received:
        assert time.monotonic() < deadline
        if not peer.read():
            select.select([peer.sock], [], [], 0.1)
    return bytes(peer.received)


class Relay:
    """Between a client and the server: `cut` ends the connections at the client's side alone."""

    def __init__(self, home: Serving) -> None:
        self._home = home
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._cut = 0
        self._over = False
        self._thread = threading.Thread(target=self._run)

    def cut(self) -> None:
        self._cut = len(self._pairs)

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        for sock in (self._listener, *(sock for pair in self._pairs for sock in pair)):
            sock.close()

    def _run(self) -> None:
        while not self._over:
            for near, _ in self._pairs[: self._cut]:
                near.close()
            others = dict(self._pairs[self._cut :])
            others |= {far: near for near, far in others.items()}
            for sock in select.select([self._listener, *others], [], [], 0.02)[0]:
                if sock is self._listener:
                    self._pairs.append((sock.accept()[0], connected(self._home.server.addresses[0])))
                    continue
                with contextlib.suppress(ConnectionError):  # the client has ended
                    others[sock].sendall(sock.recv(65536))


def reset(home: Serving, name: str) -> None:
    """Break this person's connection, as a network might."""

    def cut() -> None:
        for message in [*home.server.connections]:
            if isinstance(message, Message) and message.session().name == name:
                message.abort(CloseReason.RESET)

    home.server.loop.call_soon_threadsafe(cut)
