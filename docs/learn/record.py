"""What does the server do when its peer behaves like this?

    python3 docs/learn/record.py LESSON [-o FILE]        play a lesson of the tour and write its trace
    python3 docs/learn/record.py --list                  the lessons

The peer is played from a script, over a real socket; the server is the real one, recorded as
`app_server.py --trace` records. What the peer does is printed, what the server does is in the trace.

Rules:

* The loop is turned by hand, after everything the peer does. So each piece is read before the next
  one is sent, and a lesson goes the same way every time.
* The clock is the lesson's. It moves a millisecond with each thing that is done, and by as much as
  the script says where a peer waits: a lesson about ten seconds takes none.

Not here: what the trace says (`python3 -m study explain FILE`), real time and real threads of peers.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from eventloop import EventLoop
from libserver import Actions, Server, Topics
from multiconn.commands import stdio
from protocol.files import create
from study.recorder import Recorder

__all__ = ["LESSONS", "main"]

#: Real seconds after which something that must happen has not.
PATIENCE = 10.0
#: Real seconds for what one side of a socket did to show on the other.
MOMENT = 0.2
#: Seconds of the lesson by which its clock moves while a peer waits, so that no timer is much too late.
TICK = 1 / 16
#: Turns of the loop without the peer doing anything: far more than a lesson needs.
MOST_TURNS = 10_000
#: Kernel buffers of the peers that do not read, in bytes: small, so that they are full soon.
SMALL = 16 * 1024


class Stuck(Exception):
    """A lesson did not go as it is written; the text says where."""


class Lesson(NamedTuple):
    says: str
    play: Callable[[Stage], None]
    limits: dict[str, Any]
    small_buffers: bool


LESSONS: dict[str, Lesson] = {}


def lesson(
    name: str, says: str, *, small_buffers: bool = False, **limits: Any
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Put a lesson on the list; `limits` are its server's, by the names of `app_server.py`'s options."""

    def add(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
        LESSONS[name] = Lesson(says, play, limits, small_buffers)
        return play

    return add


# --- the actors ------------------------------------------------------------------------------------


class Clock:
    """The lesson's time, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """The server, its clock, and the peers that talk to it."""

    def __init__(self, play: Lesson, recorder: Recorder, clock: Clock, say: Callable[[str], None]) -> None:
        self.gate = threading.Event()  # the action "slow" waits for it
        self.say = say
        self._small_buffers = play.small_buffers
        self._recorder = recorder
        self._clock = clock
        self._peers: list[Peer] = []
        self.loop = EventLoop(recorder.selector(), clock)
        self.server = Server(
            ["tcp://127.0.0.1:0"],
            self._actions(),
            loop=self.loop,
            observer=recorder.observer,
            tap=self._tap,
            **play.limits,
        )

    def _actions(self) -> Actions:
        """The built-in ones, and three that a lesson needs. A topic's epoch is the same every time."""
        topics = Topics(new_epoch=lambda: "e1")
        actions = Actions(topics=topics)

        @actions.add("book")
        def book(request: dict[str, Any], session: dict[str, Any]) -> str:
            return "x" * int(request["value"])

        @actions.add("catalogue")
        def catalogue(request: dict[str, Any], session: dict[str, Any]) -> str:
            topics.publish("prices", "x" * int(request["value"]))
            return "published"

        @actions.add("slow", blocking=True)
        def slow(request: dict[str, Any], session: dict[str, Any]) -> object:
            self.gate.wait(PATIENCE)
            return request["value"]

        return actions

    def _tap(self, message: Any, sock: Any) -> Any:
        if self._small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        return self._recorder.tap(message, sock)

    def peer(self, first: bytes = b"") -> Peer:
        """A new connection. With `first` its request is there before the server has accepted it."""
        sock = socket.socket()
        if self._small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        sock.settimeout(PATIENCE)
        address = self.server.addresses[0]
        sock.connect((address.host, address.port))
        peer = Peer(self, sock, len(self._peers) + 1)
        self._peers.append(peer)
        peer.say("connects" + (f", and sends {len(first)} bytes" if first else ""))
        sock.sendall(first)
        self.turn()
        return peer

    def turn(self, moment: float = MOMENT) -> None:
        """Let the server do all it can do now; what a peer did may take a moment to arrive."""
        self._clock.now += 0.001
        self.loop.run_once(moment)
        for _ in range(MOST_TURNS):
            if not self.loop.run_once(0):
                return
        raise Stuck("the server does not come to rest")

    def until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > deadline:
                raise Stuck(f"this did not happen: {what}")
            self.loop.run_once(0.01)

    def wait(self, seconds: float) -> None:
        self.say(f"        {seconds:g} second{'s' * (seconds != 1)} go{'es' * (seconds == 1)} by")
        for _ in range(round(seconds / TICK)):
            self._clock.now += TICK
            self.loop.run_once(0)

    def drain(self) -> None:
        self.say("server  SIGTERM: it drains")
        self.server.drain()
        self.turn()

    def answer(self) -> None:
        """The slow action returns."""
        self.say("server  the slow action returns")
        self._clock.now += 0.001
        self.gate.set()
        self.until(lambda: not any(message.connection.in_flight for message in self._messages()), "its reply")
        self.turn(0)

    def _messages(self) -> list[Any]:
        return list(self.server.connections)

    def close(self) -> None:
        """Peers that remain are no longer part of the lesson."""
        self.gate.set()
        self._recorder.close()
        for peer in self._peers:
            peer.sock.close()
        self.server.close()
        self.loop.close()


class Peer:
    """One connection's other end."""

    def __init__(self, stage: Stage, sock: socket.socket, number: int) -> None:
        self.stage = stage
        self.sock = sock
        self.number = number
        self._received = bytearray()

    def say(self, words: str) -> None:
        self.stage.say(f"peer {self.number}  {words}")

    def send(self, data: bytes, what: str = "", moment: float = MOMENT) -> None:
        self.say(f"sends {len(data)} byte{'s' * (len(data) > 1)}{what and ': '}{what}")
        self.sock.sendall(data)
        self.stage.turn(moment)

    def read_replies(self, count: int = 1) -> None:
        """Read until so many replies, or events, are whole, while the server goes on sending."""
        self.sock.setblocking(False)
        for _ in range(count):
            self.stage.until(self._whole, f"a reply to peer {self.number}")
            header, content = self._take()
            keeps = f", connection {header['connection']}" if "connection" in header else ""
            what = _event(json.loads(content)) if "event" in header else f"reads a reply{keeps}: {_short(content)}"
            self.say(what)
        self.stage.turn(0)

    def _whole(self) -> bool:
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                break
            if not data:
                break
            self._received += data
        if len(self._received) < 2:
            return False
        end = 2 + int.from_bytes(self._received[:2], "big")
        if len(self._received) < end:
            return False
        content: int = json.loads(self._received[2:end])["content-length"]
        return len(self._received) >= end + content

    def _take(self) -> tuple[dict[str, Any], str]:
        end = 2 + int.from_bytes(self._received[:2], "big")
        header = json.loads(self._received[2:end])
        whole = end + header["content-length"]
        content = self._received[end:whole].decode()
        del self._received[:whole]
        return header, content

    def read_fin(self) -> None:
        self.sock.settimeout(PATIENCE)
        if self.sock.recv(1):
            raise Stuck(f"peer {self.number} got more than it expected")
        self.say("reads FIN: the server has finished")

    def read_end(self) -> None:
        """What had left before the server cut the connection, and no more."""
        self.sock.settimeout(PATIENCE)
        try:
            while data := self.sock.recv(1 << 20):
                self._received += data
        except ConnectionResetError:
            pass
        self.say("reads what had left, and then the end" + (", inside a message" if self._received else ""))

    def finish(self) -> None:
        self.say("finishes sending (FIN), and can still read")
        self.sock.shutdown(socket.SHUT_WR)
        self.stage.turn()

    def close(self) -> None:
        self.say("closes")
        self.sock.close()
        self.stage.turn()

    def reset(self) -> None:
        self.say("goes away (RST)")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.stage.turn()


def _short(content: str) -> str:
    return content if len(content) < 60 else f"{content[:20]} ... ({len(content)} characters)"


def _event(content: dict[str, Any]) -> str:
    """What a subscriber is told: a message, or a gap."""
    if "seq" in content:
        return f"reads seq {content['seq']}: {_short(json.dumps(content['value']))}"
    return f"reads a gap, seq {content['from']} to {content['to']}: {content['dropped']} left out"


def request(action: str, value: object, **fields: object) -> bytes:
    """A whole message: prefix, header, content."""
    return message({"action": action, "value": value}, **fields)


def message(content_of: dict[str, object], **fields: object) -> bytes:
    content = json.dumps(content_of).encode()
    header = {
        "byteorder": "little",
        "content-type": "text/json",
        "content-encoding": "utf-8",
        "content-length": len(content),
        **fields,
    }
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(2, "big") + raw + content


def keep(action: str, value: object) -> bytes:
    return request(action, value, connection="keep-alive")


def publish(topic: str, value: object) -> bytes:
    return message({"action": "publish", "topic": topic, "value": value}, connection="keep-alive")


def subscribe(topic: str, **options: object) -> bytes:
    return message({"action": "subscribe", "topic": topic, **options}, connection="keep-alive")


# --- the lessons -----------------------------------------------------------------------------------


@lesson("one-connection", "a peer asks as the tutorial's client does")
def one_connection(stage: Stage) -> None:
    peer = stage.peer(request("search", "morpheus"))
    peer.read_replies()
    peer.read_fin()
    peer.close()


@lesson("partial-reads", "a request arrives in four pieces")
def partial_reads(stage: Stage) -> None:
    data = request("search", "morpheus")
    peer = stage.peer()
    peer.send(data[:1], "half of the prefix")
    peer.send(data[1:50], "the other half, and a part of the header")
    peer.send(data[50:120], "the rest of the header, and a part of the content")
    peer.send(data[120:], "the rest of the content")
    peer.read_replies()
    peer.read_fin()
    peer.close()


@lesson("why-send-may-refuse", "a peer asks for much and reads nothing for a while", small_buffers=True)
def send_refused(stage: Stage) -> None:
    peer = stage.peer()
    peer.send(keep("book", 200_000))
    stage.wait(3)
    peer.read_replies()
    peer.close()


@lesson("many-connections", "three peers at once, and one of them is slow")
def many_connections(stage: Stage) -> None:
    data = request("search", "ring")
    slow = stage.peer(data[:30])
    stage.wait(1)
    second = stage.peer(request("search", "morpheus"))
    third = stage.peer(request("echo", "I was later, and am earlier"))
    third.read_replies()
    second.read_replies()
    third.close()
    second.close()
    slow.send(data[30:], "the rest")
    slow.read_replies()
    slow.close()


@lesson("pipelining", "a peer sends its next requests without waiting for replies")
def pipelining(stage: Stage) -> None:
    peer = stage.peer()
    half = keep("echo", "half")
    peer.send(keep("echo", "first") + half[:60], "a request and a half")
    peer.read_replies()
    peer.send(half[60:], "the other half")
    peer.read_replies()
    peer.send(keep("slow", "A") + keep("echo", "B") + keep("echo", "C"), "three requests")
    stage.answer()
    peer.read_replies(3)
    peer.close()


@lesson(
    "backpressure",
    "a peer asks and asks, and does not read",
    small_buffers=True,
    write_high=60_000,
    write_low=20_000,
)
def backpressure(stage: Stage) -> None:
    peer = stage.peer()
    peer.send(keep("book", 50_000))
    peer.read_replies()
    for _ in range(6):
        peer.send(keep("book", 50_000), moment=0.02)
    stage.wait(1)
    peer.read_replies(6)
    peer.close()


@lesson("half-close-and-rst", "one peer finishes and still gets its reply, another goes away")
def half_close_and_rst(stage: Stage) -> None:
    polite = stage.peer()
    polite.send(keep("slow", "you get this"))
    polite.finish()
    stage.answer()
    polite.read_replies()
    polite.read_fin()
    rude = stage.peer()
    rude.send(keep("echo", "hello"))
    rude.read_replies()
    rude.reset()


@lesson("timeouts", "two peers send slowly: one its header, one its content", min_data_rate=0)
def timeouts(stage: Stage) -> None:
    header = stage.peer()
    content = stage.peer()
    data = keep("search", "morpheus")
    content.send(data[:-20], "all but 20 bytes of the content")
    for at in range(4):
        header.send(data[at : at + 1], "of the header")
        stage.wait(3 if at < 3 else 2)
    header.read_replies()
    header.read_fin()
    header.close()
    for at in range(-20, 0, 10):
        stage.wait(40)
        content.send(data[at : at + 10 or None], "of the content")
    content.read_replies()
    content.close()


@lesson("shutdown", "the server gets SIGTERM while two peers are idle, one is sending and one is waiting")
def shutdown(stage: Stage) -> None:
    silent, asking, sending, waiting = stage.peer(), stage.peer(), stage.peer(), stage.peer()
    for peer in (silent, asking):
        peer.send(keep("echo", 1))
        peer.read_replies()
    data = keep("search", "morpheus")
    sending.send(data[:60], "a part of a request")
    waiting.send(keep("slow", "worth the wait"))
    stage.drain()
    asking.send(keep("echo", 2), "one more request")
    asking.read_replies()
    sending.send(data[60:], "the rest of it")
    sending.read_replies()
    stage.wait(1)
    silent.read_fin()
    stage.answer()
    waiting.read_replies()
    for peer in (asking, sending, waiting):
        peer.read_fin()
        peer.close()


@lesson(
    "slow-readers",
    "one peer publishes, one reads at once, and four do not, each with another policy",
    small_buffers=True,
    write_high=20_000,
    write_low=10_000,
)
def slow_readers(stage: Stage) -> None:
    publisher, fast = stage.peer(), stage.peer()
    fast.send(subscribe("prices"))
    fast.read_replies()
    slow = {}
    for policy in ("oldest", "newest", "latest", "cut"):
        slow[policy] = peer = stage.peer()
        key = {"key": "of"} if policy == "latest" else {}
        peer.send(subscribe("prices", slow=policy, limit=3, **key), f"slow: {policy}, limit: 3")
        peer.read_replies()
    publisher.send(keep("catalogue", 300_000), "publish a large one")
    publisher.read_replies()
    fast.read_replies()
    for number, what in enumerate(("tea", "rum", "tea", "tea", "tea"), 2):
        publisher.send(publish("prices", {"of": what, "is": number}), f"publish {what}")
        publisher.read_replies()
        fast.read_replies()
    stage.wait(1)
    slow["cut"].read_end()
    for policy, count in (("oldest", 5), ("newest", 5), ("latest", 6)):
        slow[policy].read_replies(count)
    for peer in (publisher, fast, *slow.values()):
        peer.close()


# --- the command -----------------------------------------------------------------------------------


def record(name: str, path: Path, say: Callable[[str], None] = print) -> None:
    """Play a lesson. Raises `OSError` if the file can't be written, `Stuck` if it does not go as written."""
    clock = Clock()
    failures: list[Exception] = []
    if path.is_symlink() or path.is_file():
        path.unlink()  # the lesson's last trace, which this one is like
    recorder = Recorder(create(path), "server", clock=clock, failed=failures.append)
    with closing(Stage(LESSONS[name], recorder, clock, say)) as stage:
        LESSONS[name].play(stage)
    for error in failures:
        raise error


def main(argv: Sequence[str] | None = None) -> int:
    """Record one lesson; returns the exit code."""
    parser = argparse.ArgumentParser(prog="record.py", description="Play a lesson of the tour and write its trace.")
    parser.add_argument("lesson", nargs="?", metavar="LESSON", help=", ".join(LESSONS))
    parser.add_argument("-o", "--output", metavar="FILE", help="the trace (LESSON.trace)")
    parser.add_argument("--list", action="store_true", help="the lessons, a line each")
    options = parser.parse_args(argv)
    if options.list or options.lesson is None:
        for name, it in LESSONS.items():
            print(f"{name:20} {it.says}")
        return 0
    if options.lesson not in LESSONS:
        print(f"record.py: there is no lesson {options.lesson!r}; choose one of {', '.join(LESSONS)}", file=sys.stderr)
        return 2
    path = Path(options.output or f"{options.lesson}.trace")
    try:
        record(options.lesson, path)
    except (Stuck, TimeoutError) as error:
        print(f"record.py: {options.lesson}: {error}; is the machine very busy? Try again", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"record.py: {path}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"record.py: interrupted; {path} has what had happened by then", file=sys.stderr)
        return 130
    print(f"{path} is written; next: python3 -m study explain {path}")
    return 0


if __name__ == "__main__":
    sys.exit(stdio.run("record.py", main))
