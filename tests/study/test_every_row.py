"""Has every row of the tables been taken, by bytes and results of system calls alone?

Scenes with the real server and the real client, on a clock that the scene moves. A server's peers
are real sockets; where a scene needs a result that no peer can bring about for certain, the socket
is a `FaultySocket`. Each scene is recorded as `--trace` records, says which rows it is there for,
and must replay without a difference. Nobody here calls a lookup.

The rows that a role does not take are listed, each with the reason; a reason that has become wrong
is a failure too.

Not here: that a table allows nothing else (tests/protocol/test_states.py), that a trace tells the
truth (test_recorder.py).
"""

from __future__ import annotations

import contextlib
import errno
import io
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest

from eventloop import EventLoop
from libclient import Shared, action_request
from libserver import Actions, CloseReason, Server, Topics
from protocol.states import MACHINES
from study import coverage
from study.recorder import Recorder
from study.replay import replay
from study.trace import Trace, load
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import AGAIN, OK, RESET, Errno, FaultySocket
from tests.fakes.selector import FakeSelector
from tests.libclient.bench import Bench
from tests.support.server import ANY_PORT, Turned, caught, check_closed
from tests.support.wire import ask, framed, granting, keep, reply, request

Key = tuple[str, str, str]
KEYS: list[Key] = [(machine.name, row.state, row.input) for machine in MACHINES for row in machine.rows]

#: Rows that a role does not take, and why. "*" stands for every state, or every input.
NOT_TAKEN: dict[str, dict[tuple[str, str], str]] = {
    "server": {
        ("CONNECTING", "*"): "a server's connection is accepted: it begins in OPEN",
    },
    "client": {
        ("*", "GIVEN_UP"): "a client that stops waiting for a reply closes at once: the replies behind it are lost too",
        ("FAILED", "EOF_READ"): "the same: after a failure it reads no more",
        ("OPEN", "RELEASED"): "it says SHUTDOWN first, whatever is owed",
        ("DRAINING", "SHUTDOWN"): "it is closed once",
        ("DRAINING", "SETTLED"): "it waits for the server's FIN instead of sending its own",
        ("LINGERING", "*"): "the same",
        ("CURRENT", "*"): "a client has no subscribers",
        ("BEHIND", "*"): "the same",
        ("DROPPING", "*"): "the same",
    },
}


class Scene(NamedTuple):
    role: str
    play: Callable[[], Trace]
    takes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.role}: {self.play.__name__}"


SCENES: list[Scene] = []


class _Kept(io.BytesIO):
    kept = b""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


class Recording:
    """A recorder that writes into memory."""

    def __init__(self, vantage: str, clock: FakeClock) -> None:
        self.file = _Kept()
        self.failures: list[Exception] = []
        self.recorder = Recorder(self.file, vantage, clock=clock, max_bytes=1 << 20, failed=self.failures.append)

    def trace(self) -> Trace:
        self.recorder.close()
        assert self.failures == []
        return load(io.BytesIO(self.file.kept))


# --- scenes of the server ------------------------------------------------------------------------


class House(Turned):
    """A server turned by hand. `accepted`: its connections' sockets; `refusing`: calls that the next ones refuse."""

    def __init__(self, server: Server, clock: FakeClock, log: Any) -> None:
        super().__init__(server, clock, log)
        self.accepted: list[FaultySocket] = []
        self.refusing: tuple[str, ...] = ()

    def begins(self, *data: bytes) -> Any:
        """A peer that sends `data`, which the server has then read."""
        peer = self.peer()
        for piece in data:
            peer.send(piece)
            self.quiet()
        return peer

    def turns(self) -> None:
        """A few turns, for a server that has something to write and can't: that is never quiet."""
        for _ in range(5):
            self.turn()


@contextlib.contextmanager
def house(recording: Recording, clock: FakeClock, **limits: Any) -> Iterator[House]:
    recorder = recording.recorder
    made: list[House] = []

    def tap(message: Any, sock: Any) -> Any:
        faulty = FaultySocket(sock)
        for call in made[0].refusing:
            faulty.always(call, AGAIN)
        made[0].accepted.append(faulty)
        return recorder.tap(message, faulty)

    options: dict[str, Any] = {"drain_grace": 0.0, "selector": recorder.selector(), "clock": clock, **limits}
    with caught() as log:
        with Server((ANY_PORT,), observer=recorder.observer, tap=tap, **options) as server:
            made.append(House(server, clock, log))
            try:
                yield made[0]
            finally:
                for peer in made[0].peers:
                    peer.close()
            server.stop()
            made[0].until(lambda: not (server.connections or server.refused))
            check_closed(server)
        assert not log.raised()


def of_the_server(*takes: str, **limits: Any) -> Callable[[Callable[[House], None]], None]:
    """A scene in a house of its own, which is there for the rows in `takes`: STATE INPUT."""

    def add(scene: Callable[[House], None]) -> None:
        def play() -> Trace:
            clock = FakeClock()
            recording = Recording("server", clock)
            with house(recording, clock, **limits) as it:
                scene(it)
            return recording.trace()

        play.__name__ = scene.__name__
        SCENES.append(Scene("server", cache(play), takes))

    return add


HEADER_OF_100 = framed(
    {"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8", "content-length": 100}
)
ONE_SHOT = ask("search", "morpheus")


@of_the_server(
    *("PROTOHEADER PREFIX_READ", "JSONHEADER HEADER_READ", "CONTENT LAST_CONTENT_READ"),
    *("OPEN LAST_MESSAGE", "DRAINING SETTLED", "FINISHED EOF_READ", "LINGERING PEER_EOF"),
)
def asks_once_reads_to_the_fin_and_finishes(it: House) -> None:
    peer = it.begins(ONE_SHOT + b"and more")
    assert "rabbit" in peer.reply().result
    peer.eof()
    peer.finish()
    assert it.ended() == {"served": 1}


@of_the_server("DRAINING RELEASED")
def asks_once_and_nothing_else(it: House) -> None:
    peer = it.begins(ONE_SHOT)
    assert "rabbit" in peer.reply().result
    peer.eof()
    assert it.ended() == {"served": 1}


@of_the_server("CONTENT CONTENT_READ", "PROTOHEADER EOF_READ", "OPEN PEER_EOF", "DRAINING SETTLED_AFTER_EOF")
def asks_twice_and_finishes(it: House) -> None:
    peer = it.begins(keep("echo", 1) + keep("echo", 2))
    assert [answer.result for answer in peer.replies(2)] == [1, 2]
    peer.finish()
    assert it.ended() == {"peer-closed": 1}


@of_the_server("PROTOHEADER FRAMING_LOST", "OPEN INPUT_FAILED", "FAILED EOF_READ")
def announces_an_empty_header(it: House) -> None:
    peer = it.begins(b"\x00\x00")
    assert peer.reply().code == "bad-header"
    peer.finish()
    assert it.ended() == {"bad-framing": 1}


@of_the_server("JSONHEADER FRAMING_LOST", "LINGERING LINGER_EXPIRED")
def sends_a_header_that_is_none_and_stays(it: House) -> None:
    peer = it.begins(framed(b"not JSON"))
    assert peer.reply().code == "bad-header"
    it.advance(5)
    assert it.ended() == {"bad-framing": 1}


@of_the_server("PROTOHEADER GIVEN_UP")
def sends_half_a_prefix_and_no_more(it: House) -> None:
    peer = it.begins(b"\x00")
    it.advance(11)
    assert peer.reply().code == "timeout"


@of_the_server("JSONHEADER GIVEN_UP")
def sends_half_a_header_and_no_more(it: House) -> None:
    peer = it.begins(ONE_SHOT[:20])
    it.advance(11)
    assert peer.reply().code == "timeout"


@of_the_server("CONTENT GIVEN_UP")
def sends_half_a_content_and_no_more(it: House) -> None:
    peer = it.begins(HEADER_OF_100, b"half")
    it.advance(61)
    assert peer.reply().code == "timeout"


@of_the_server("JSONHEADER EOF_READ")
def finishes_inside_a_header(it: House) -> None:
    it.begins(ONE_SHOT[:20]).finish()
    assert it.ended() == {"truncated": 1}


@of_the_server("CONTENT EOF_READ")
def finishes_inside_a_content(it: House) -> None:
    it.begins(HEADER_OF_100).finish()
    assert it.ended() == {"truncated": 1}


@of_the_server("OPEN RELEASED")
def is_idle_for_too_long(it: House) -> None:
    peer = it.begins(keep("echo", 1))
    peer.reply()
    it.advance(400)
    peer.eof()
    assert it.ended() == {"idle-timeout": 1}


@of_the_server("OPEN SHUTDOWN", "DRAINING LAST_MESSAGE")
def is_inside_its_only_request_when_the_server_drains(it: House) -> None:
    peer = it.begins(ONE_SHOT[:-1])
    it.server.drain()
    it.quiet()
    peer.send(ONE_SHOT[-1:])
    assert peer.reply().connection == "close"
    it.quiet()


@of_the_server("DRAINING INPUT_FAILED")
def is_inside_a_request_when_the_server_drains_and_stays_there(it: House) -> None:
    peer = it.begins(ONE_SHOT[:20])
    it.server.drain()
    it.advance(9.9)
    it.advance(0.2)
    peer.gone()


@of_the_server("OPEN LOST")
def resets(it: House) -> None:
    it.begins(keep("echo", 1)).reset()
    assert it.ended() == {"reset": 1}


@of_the_server("OPEN ABORTED")
def is_cut(it: House) -> None:
    it.begins(keep("echo", 1))
    it.server.stop()
    assert it.ended() == {"cut": 1}


def owed_a_reply(it: House) -> Any:
    """A one-shot peer whose reply the kernel does not take."""
    it.refusing = ("send",)
    peer = it.peer()
    peer.send(ONE_SHOT)
    it.until(lambda: it.only.state == "DRAINING")
    return peer


@of_the_server("DRAINING PEER_EOF", "DRAINING SHUTDOWN", "DRAINING LOST")
def is_owed_a_reply_finishes_and_resets_while_the_server_drains(it: House) -> None:
    peer = owed_a_reply(it)
    peer.finish()
    it.until(lambda: it.only.transport.peer_eof)
    it.server.drain()
    it.turns()
    it.accepted[0].always("send", RESET)
    it.ended()


@of_the_server("DRAINING ABORTED")
def is_owed_a_reply_and_takes_none_of_it(it: House) -> None:
    owed_a_reply(it)
    it.clock.advance(61)
    assert it.ended() == {"send-timeout": 1}


def lingering(it: House) -> Any:
    peer = it.begins(ONE_SHOT + b"more")
    peer.reply()
    peer.eof()
    assert it.only.state == "LINGERING"
    return peer


@of_the_server("LINGERING SHUTDOWN", "LINGERING LOST")
def resets_after_the_fin_while_the_server_drains(it: House) -> None:
    peer = lingering(it)
    it.server.drain()
    it.quiet()
    peer.reset()
    assert it.ended() == {"served": 1}


@of_the_server("LINGERING ABORTED")
def is_cut_while_it_lingers(it: House) -> None:
    lingering(it)
    it.server.stop()
    it.ended()


# --- scenes of a subscriber ----------------------------------------------------------------------


class Door(Actions):
    """With topics, and an action that takes as long as the scene wants."""

    def __init__(self) -> None:
        super().__init__(topics=Topics())
        self.open = threading.Event()

        @self.add("wait", blocking=True)
        def wait(request: object) -> str:
            assert self.open.wait(20)
            return "waited"


def subscribe(**fields: Any) -> bytes:
    return request({"action": "subscribe", "topic": "t", **fields}, connection="keep-alive")


UNSUBSCRIBE = request({"action": "unsubscribe", "topic": "t"})
#: More than may be kept, and so above the high-water mark.
MUCH = "x" * 3000
SMALL_MARKS = {"write_high": 2048, "write_low": 1024}


def publishes(it: House, *values: object) -> None:
    """Each in a turn of its own."""
    assert it.server.topics is not None
    for value in values:
        it.server.topics.publish("t", value)
        it.turns()


def subscribes(it: House, **fields: Any) -> Any:
    peer = it.begins(subscribe(**fields))
    assert peer.reply().code is None
    return peer


def stops_reading(it: House) -> None:
    """The kernel takes nothing more: the first message is kept, and what follows waits."""
    it.accepted[-1].always("send", AGAIN).always("sendmsg", AGAIN)
    publishes(it, MUCH, 1)


def reads_on(it: House) -> None:
    it.accepted[-1].always("send", OK).always("sendmsg", OK)
    it.quiet()


@of_the_server("CURRENT ABOVE_HIGH", "BEHIND CAUGHT_UP", "CURRENT UNSUBSCRIBED", actions=Door(), **SMALL_MARKS)
def reads_slowly_catches_up_and_unsubscribes(it: House) -> None:
    peer = subscribes(it)
    stops_reading(it)
    reads_on(it)
    assert [reply.body["seq"] for reply in peer.replies(2)] == [1, 2]
    peer.send(UNSUBSCRIBE)
    assert peer.reply().code is None


@of_the_server("CURRENT MISSED_SOME", "CURRENT CONNECTION_ENDED", actions=Door())
def subscribes_again_and_goes(it: House) -> None:
    publishes(it, 1, 2)
    assert it.server.topics is not None
    since = {"epoch": it.server.topics.history("t")["epoch"], "seq": 1}
    peer = subscribes(it, since=since)
    assert peer.reply().body["seq"] == 2
    peer.finish()
    assert it.ended() == {"peer-closed": 1}


@of_the_server("CURRENT REPLY_OWED", "BEHIND UNSUBSCRIBED", actions=(first := Door()))
def unsubscribes_before_its_reply_has_left(it: House) -> None:
    peer = it.begins(keep("wait") + subscribe() + UNSUBSCRIBE)
    first.open.set()
    it.until(lambda: len(peer.received) > 300 or peer.read())
    assert [reply.code for reply in peer.replies(3)] == [None] * 3


@of_the_server("BEHIND OVERRUN", actions=Door(), **SMALL_MARKS)
def reads_slowly_and_is_cut(it: House) -> None:
    subscribes(it, limit=1)
    stops_reading(it)
    publishes(it, 2)
    assert it.ended() == {"slow-consumer": 1}


@of_the_server("BEHIND CONNECTION_ENDED", actions=Door(), **SMALL_MARKS)
def goes_while_it_is_behind(it: House) -> None:
    peer = subscribes(it)
    stops_reading(it)
    peer.reset()
    it.accepted[-1].always("send", RESET).always("sendmsg", RESET)
    assert it.ended() == {"reset": 1}


@of_the_server(
    *("BEHIND QUEUE_FULL", "DROPPING QUEUE_FULL", "DROPPING GAPS_SENT"),
    actions=Door(),
    **SMALL_MARKS,
)
def reads_slowly_and_loses_the_oldest(it: House) -> None:
    peer = subscribes(it, slow="oldest", limit=1)
    stops_reading(it)
    publishes(it, 2, 3)
    reads_on(it)
    first, gap, last = (reply.body for reply in peer.replies(3))
    assert (first["seq"], gap["from"], gap["to"], gap["dropped"], last["seq"]) == (1, 2, 3, 2, 4)


@of_the_server("DROPPING OVERRUN", actions=Door(), push_queue=1000, **SMALL_MARKS)
def loses_some_and_is_the_slowest_of_all(it: House) -> None:
    subscribes(it, slow="newest", limit=1)
    stops_reading(it)
    publishes(it, 2)
    other = it.peer()
    other.send(subscribe(slow="oldest"))
    assert other.reply().code is None
    it.accepted[-1].always("send", AGAIN).always("sendmsg", AGAIN)
    publishes(it, MUCH, MUCH)
    assert it.server.closed_by[CloseReason.SLOW_CONSUMER] >= 1


@of_the_server("DROPPING UNSUBSCRIBED", actions=(second := Door()))
def unsubscribes_though_some_were_left_out(it: House) -> None:
    peer = it.begins(keep("wait") + subscribe(slow="oldest", limit=1))
    publishes(it, 1, 2)
    peer.send(UNSUBSCRIBE)
    it.turns()
    second.open.set()
    assert [reply.code for reply in peer.replies(3)] == [None] * 3


@of_the_server("DROPPING CONNECTION_ENDED", actions=Door(), **SMALL_MARKS)
def goes_though_some_were_left_out(it: House) -> None:
    peer = subscribes(it, slow="newest", limit=1)
    stops_reading(it)
    publishes(it, 2)
    peer.reset()
    it.accepted[-1].always("send", RESET).always("sendmsg", RESET)
    assert it.ended() == {"reset": 1}


# --- scenes of the client ------------------------------------------------------------------------


class Recorded(Bench):
    """A client's bench, recorded."""

    def __init__(self, recording: Recording, clock: FakeClock, **options: Any) -> None:
        super().__init__(**options)
        self.loop.close()
        recorder = recording.recorder
        self.clock = clock
        self.selector = FakeSelector(clock)
        self.loop = EventLoop(recorder.selector(self.selector), clock)
        self.shared = Shared(self.loop, observer=recorder.observer, tap=recorder.tap, open_socket=self._open)

    def asks(self, *values: object) -> Any:
        """A message that is connected and has sent its first request."""
        message = self.message()
        for value in values:
            message.send(action_request("echo", value), value)
        self.turn()
        return message


def of_the_client(*takes: str, **options: Any) -> Callable[[Callable[[Recorded], None]], None]:
    def add(scene: Callable[[Recorded], None]) -> None:
        def play() -> Trace:
            clock = FakeClock()
            recording = Recording("client", clock)
            with Recorded(recording, clock, **options) as bench:
                scene(bench)
                bench.turn()
                assert bench.ending is not None
            return recording.trace()

        play.__name__ = scene.__name__
        SCENES.append(Scene("client", cache(play), takes))

    return add


@of_the_client(
    *("CONNECTING CONNECTED", "PROTOHEADER PREFIX_READ", "JSONHEADER HEADER_READ", "CONTENT CONTENT_READ"),
    *("OPEN SHUTDOWN", "DRAINING RELEASED"),
)
def is_closed_when_it_was_answered(bench: Recorded) -> None:
    message = bench.asks(1)
    bench.feed(granting(1))
    message.close()
    bench.turn()
    assert bench.answers == [(1, 1)]


@of_the_client(
    *("CONTENT LAST_CONTENT_READ", "OPEN LAST_MESSAGE"),
    *("FINISHED EOF_READ", "DRAINING PEER_EOF", "DRAINING SETTLED_AFTER_EOF"),
)
def gets_its_only_reply(bench: Recorded) -> None:
    bench.asks(1)
    bench.feed(reply(1))
    bench.feed_eof()


@of_the_client("CONNECTING LOST", make_socket=lambda: FaultySocket().script("connect_ex", Errno(errno.ECONNREFUSED)))
def finds_nobody_there(bench: Recorded) -> None:
    bench.message()


@of_the_client("CONNECTING ABORTED", make_socket=lambda: FaultySocket().script("connect_ex", Errno(errno.EINPROGRESS)))
def is_not_wanted_any_more(bench: Recorded) -> None:
    bench.message().abort()


@of_the_client("PROTOHEADER FRAMING_LOST", "OPEN INPUT_FAILED", "DRAINING ABORTED")
def gets_an_empty_header(bench: Recorded) -> None:
    bench.asks(1)
    bench.feed(b"\x00\x00")


@of_the_client("JSONHEADER FRAMING_LOST")
def gets_a_header_that_is_none(bench: Recorded) -> None:
    bench.asks(1)
    bench.feed(framed(b"not JSON"))


@of_the_client("PROTOHEADER EOF_READ", "OPEN PEER_EOF")
def gets_no_reply_but_a_fin(bench: Recorded) -> None:
    bench.asks(1)
    bench.feed_eof()


@of_the_client("JSONHEADER EOF_READ")
def gets_half_a_header(bench: Recorded) -> None:
    bench.asks(1)
    bench.feed(granting(1)[:20])
    bench.feed_eof()


@of_the_client("CONTENT EOF_READ")
def gets_half_a_content(bench: Recorded) -> None:
    bench.asks(1)
    bench.feed(granting(1)[:-1])
    bench.feed_eof()


@of_the_client("OPEN LOST")
def is_reset(bench: Recorded) -> None:
    bench.asks(1)
    bench.sock.script("recv", RESET)
    bench.read()


@of_the_client("OPEN ABORTED")
def waits_too_long(bench: Recorded) -> None:
    bench.asks(1)
    bench.wait(11)


@of_the_client("DRAINING LAST_MESSAGE")
def is_closed_before_its_only_reply(bench: Recorded) -> None:
    bench.asks(1).close()
    bench.feed(reply(1))
    bench.feed_eof()


@of_the_client("DRAINING INPUT_FAILED")
def is_closed_before_a_reply_that_is_none(bench: Recorded) -> None:
    bench.asks(1).close()
    bench.feed(b"\x00\x00")


@of_the_client("DRAINING LOST")
def is_closed_and_then_reset(bench: Recorded) -> None:
    bench.asks(1).close()
    bench.sock.script("recv", RESET)
    bench.read()


# --- what they must show ---------------------------------------------------------------------------


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_a_scene_takes_its_rows_and_replays_without_a_difference(scene: Scene) -> None:
    trace = scene.play()
    taken = {(state, given) for _, state, given in coverage.count([trace])}
    assert [row for row in scene.takes if tuple(row.split()) not in taken] == []
    verdicts = list(replay(trace))
    assert verdicts
    assert [verdict.differences for verdict in verdicts if verdict.differences] == []


def taken_by(role: str) -> coverage.Taken:
    return coverage.count(scene.play() for scene in SCENES if scene.role == role)


def exempt(role: str, key: Key) -> bool:
    _, state, given = key
    return any(pair in NOT_TAKEN[role] for pair in ((state, given), (state, "*"), ("*", given)))


@pytest.mark.parametrize("role", ["server", "client"])
def test_every_row_is_taken_by_each_role_that_can(role: str) -> None:
    taken = taken_by(role)
    assert [key for key in KEYS if not taken[key] and not exempt(role, key)] == [], "rows that nobody has tried"
    assert [key for key in KEYS if taken[key] and exempt(role, key)] == [], "rows that NOT_TAKEN is wrong about"


def test_together_they_take_every_row() -> None:
    taken = taken_by("server") + taken_by("client")
    assert coverage.never(taken) == []


def test_a_scene_that_is_missing_is_found_out() -> None:
    """Each row is named once: without the scene that is there for it, it would be reported."""
    first = {row: scene for scene in reversed(SCENES) for row in scene.takes if scene.role == "server"}
    scene = first["LINGERING SHUTDOWN"]
    taken = coverage.count(other.play() for other in SCENES if other is not scene)
    assert ("LIFECYCLE", "LINGERING", "SHUTDOWN") in coverage.never(taken)
