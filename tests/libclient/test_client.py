"""`libclient.client`: the blocking convenience against real sockets and scripted servers."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from eventloop import Address, Endpoint
from libclient import (
    BadReply,
    Client,
    ClosedEarly,
    ClosedMidMessage,
    ConnectionFailed,
    ConnectionReset,
    ConnectTimeout,
    ErrorReply,
    NoDescriptors,
    NoPermission,
    NoSuchSocket,
    Outgoing,
    Refused,
    ReplyTimeout,
    UnknownHost,
    json_request,
)
from protocol import Limits
from tests.support.descriptors import no_descriptor_left
from tests.support.scripted import (
    Caller,
    ScriptedServer,
    closing_after,
    complaining,
    correct,
    one_shot,
    raw_after,
    reset_after,
    silent_after,
    unused_port,
)
from tests.support.wire import KEEP, message


def at_once() -> float:
    """A random source: no pause between attempts."""
    return 0.0


# --- answers -----------------------------------------------------------------------------


def test_three_lines_are_enough() -> None:
    with ScriptedServer(correct) as server:
        with Client(server.target) as c:
            assert c.request("search", "morpheus") == "Follow the white rabbit. 🐰"
            assert c.request("echo", [1, None]) == [1, None]
        assert server.connections == 1


def test_a_request_as_json_returns_the_whole_reply() -> None:
    with ScriptedServer(correct) as server, Client(server.target) as c:
        assert c.request_json({"action": "confirm", "value": 1}) == {"result": "Received: 1", "count": 1}


def test_binary_comes_back_as_bytes() -> None:
    def mirror(peer: Caller) -> None:
        while True:
            content = peer.request()
            peer.send(message(content, "binary/echo", **KEEP))

    with ScriptedServer(mirror) as server, Client(server.target) as c:
        assert c.request_binary("binary/echo", b"") == b""
        for size in (10, 64 * 1024 - 1, 64 * 1024, 3_000_000):
            content = os.urandom(size)
            assert c.request_binary("binary/echo", content) == content
        answer = c.call(Outgoing("binary/echo", b"x"))
        assert answer.header.content_type == "binary/echo"


def test_json_where_bytes_were_expected_is_a_bad_reply() -> None:
    def say_one(peer: Caller) -> None:
        peer.request()
        peer.reply({"result": 1})

    with ScriptedServer(say_one) as server, Client(server.target) as c, pytest.raises(BadReply, match="JSON"):
        c.request_binary("binary/echo", b"x")


def test_an_error_reply_is_raised_with_its_code() -> None:
    with ScriptedServer(complaining) as server, Client(server.target) as c:
        with pytest.raises(ErrorReply) as caught:
            c.request("anything")
        assert (caught.value.code, caught.value.message) == ("handler-failed", "no")
        with pytest.raises(ErrorReply):
            c.request("again")
        assert server.connections == 1, "an error reply ends no connection"


def test_the_tutorials_server_is_connected_to_each_time() -> None:
    with ScriptedServer(one_shot) as server, Client(server.target, connections=4) as c:
        assert c.request("echo", 1) == 1
        assert c.pipeline([("echo", n) for n in range(5)]) == list(range(5))
        assert c.map([("echo", n) for n in range(20)]) == list(range(20))
        assert server.connections == server.requests == 26


def test_without_keep_alive_each_request_is_a_connection() -> None:
    seen = []

    def note(peer: Caller) -> None:
        peer.request()
        seen.append(peer.header.get("connection") == "keep-alive")
        peer.reply({"result": 1}, connection=None)

    with ScriptedServer(note) as server, Client(server.target, keep_alive=False) as c:
        c.request("x")
        c.request("y")
        assert seen == [False, False]


# --- many ----------------------------------------------------------------------------------


def test_a_pipeline_is_sent_without_waiting_for_replies() -> None:
    together = []

    def patient(peer: Caller) -> None:
        peer.reply(peer.right(peer.request()))
        values = [peer.request() for _ in range(9)]  # answers none of them before it has all
        together.append(len(values))
        for value in values:
            peer.reply(peer.right(value))

    with ScriptedServer(patient) as server, Client(server.target) as c:
        assert c.pipeline([("echo", n) for n in range(10)]) == list(range(10))
        assert together == [9]


def test_map_uses_all_connections_at_once() -> None:
    everybody = threading.Barrier(5)

    def meet(peer: Caller) -> None:
        request = peer.request()
        everybody.wait(30)  # nobody is answered before five connections have asked
        peer.reply(peer.right(request))

    with ScriptedServer(meet) as server, Client(server.target, connections=5) as c:
        assert c.map([("echo", n) for n in range(5)]) == list(range(5))


def test_items_may_be_requests_of_any_kind() -> None:
    with ScriptedServer(correct) as server, Client(server.target) as c:
        whole = json_request({"action": "echo", "value": 2})
        assert c.pipeline([("echo", 1), whole, ["echo", 3]]) == [1, {"result": 2}, 3]
        assert c.map([]) == []
        for nonsense in ("search", (), (1, 2), ("a", "b", "c"), None):
            with pytest.raises(TypeError, match="is not a request"):
                c.map([nonsense])  # type: ignore[list-item]


def test_of_many_the_first_error_is_raised_or_each_returned() -> None:
    def third_fails(peer: Caller) -> None:
        while True:
            answer = peer.right(peer.request())
            bad = {"result": "Error", "error": {"code": "bad-request", "message": str(peer.served)}}
            peer.reply(bad if peer.served % 3 == 0 else answer)

    with ScriptedServer(third_fails) as server, Client(server.target) as c:
        items = [("echo", n) for n in range(1, 7)]
        results = c.pipeline(items, return_exceptions=True)
        assert [r if isinstance(r, int) else str(r) for r in results] == [
            1,
            2,
            "bad-request: 3",
            4,
            5,
            "bad-request: 6",
        ]
        with pytest.raises(ErrorReply, match="bad-request: 9"):
            c.pipeline(items)
        assert c.request("echo", "still there") == "still there"


def test_connections_can_be_opened_beforehand() -> None:
    with ScriptedServer(correct) as server, Client(server.target, connections=20) as c:
        assert c.connect() == 20
        assert c.connect() == 20
        assert c.map([("echo", n) for n in range(100)]) == list(range(100))
        assert server.connections == 20
        assert c.refresh() == 20


# --- no answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [False, True])
def test_nobody_listens(many: bool) -> None:
    with Client(f"127.0.0.1:{unused_port()}", connections=3, retry_for=0.05) as c:
        with pytest.raises(Refused, match="start the server"):
            c.map([("echo", 1), ("echo", 2)]) if many else c.request("echo", 1)
        with pytest.raises(Refused):
            c.connect()


def test_every_address_of_a_name_is_tried() -> None:
    with ScriptedServer(correct) as server:
        dead = Endpoint(socket.AF_INET, ("127.0.0.1", unused_port()))
        alive = Endpoint(socket.AF_INET, ("127.0.0.1", server.port))
        with Client(server.target, resolve=lambda address: [dead, alive]) as c:
            assert c.request("echo", 1) == 1


def test_a_host_nobody_knows() -> None:
    def unknown(address: Address) -> list[Endpoint]:
        raise UnknownHost("no such host")

    with Client("no.such.host:1", resolve=unknown, retry_for=0.05) as c:
        with pytest.raises(UnknownHost):
            c.request("echo")
        with pytest.raises(UnknownHost):
            c.connect()


def test_unix_sockets_work_and_their_failures_have_names(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(NoSuchSocket), Client(f"unix:{path}", retry_for=0) as c:
        c.request("echo")
    with ScriptedServer(correct, str(path)) as server, Client(server.target) as c:
        assert c.request("echo", 1) == 1
    with pytest.raises(Refused, match="no server listens on"), Client(f"unix:{path}", retry_for=0) as c:
        c.request("echo")


@pytest.mark.skipif(os.getuid() == 0, reason="root may connect to every socket")
def test_a_unix_socket_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with ScriptedServer(correct, str(path)) as server:
        path.chmod(0)
        with pytest.raises(NoPermission), Client(server.target, retry_for=0) as c:
            c.request("echo")


def test_a_connection_that_is_never_accepted_times_out() -> None:
    # A full backlog: the kernel answers no further SYN.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                fillers.append(filler)
            port = listener.getsockname()[1]
            with Client(f"127.0.0.1:{port}", connect_timeout=0.05, retry_for=0) as c, pytest.raises(ConnectTimeout):
                c.request("echo", 1)
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (raw_after(1, b""), ClosedEarly),
        (raw_after(1, message(b'{"result": 1}', **KEEP)[:-1]), ClosedMidMessage),
        (raw_after(1, b"\0"), ClosedMidMessage),
        (raw_after(1, b"HTTP/1.1 400 Bad Request\r\n\r\n"), BadReply),  # told at the first byte that can be no header
        (raw_after(1, b"\0\x02[]"), BadReply),
        (raw_after(1, message(b"nonsense", **KEEP)), BadReply),
        (reset_after(1), ConnectionReset),
    ],
)
def test_a_reply_that_does_not_come_or_is_none(behaviour: Callable[[Caller], None], kind: type[Exception]) -> None:
    with ScriptedServer(behaviour) as server, Client(server.target) as c:
        assert c.request("echo", 1) == 1
        with pytest.raises(kind) as caught:
            c.request("echo", 2)
        assert type(caught.value) is kind
        # Idempotent: behind a whole frame our end is still open, and the server's FIN may cross this.
        assert c.request("echo", 3, idempotent=True) == 3, "the next call gets another connection"


def test_an_idempotent_request_survives_a_reset() -> None:
    with ScriptedServer(reset_after(1)) as server, Client(server.target, random=at_once) as c:
        for n in range(5):
            assert c.request("echo", n, idempotent=True) == n
        assert server.connections == 5


def test_a_server_that_closes_idle_connections_is_noticed_before_anything_is_sent() -> None:
    closed = threading.Semaphore(0)

    def close_after_one(peer: Caller) -> None:
        peer.reply(peer.right(peer.request()))
        peer.sock.shutdown(socket.SHUT_RDWR)
        closed.release()

    with ScriptedServer(close_after_one) as server, Client(server.target) as c:
        for n in range(3):
            assert c.request("echo", n) == n, "not declared idempotent, and never in doubt"
            assert closed.acquire(timeout=30)
        assert server.connections == 3
        assert c.refresh() == 0


def test_connections_that_end_after_some_requests_are_replaced() -> None:
    with ScriptedServer(closing_after(3)) as server, Client(server.target, connections=2) as c:
        assert c.map([("echo", n) for n in range(30)], idempotent=True) == list(range(30))
        assert server.connections >= 10


def test_a_reply_withheld_is_a_timeout_and_the_next_call_is_not_answered_by_it() -> None:
    with ScriptedServer(silent_after(1)) as server, Client(server.target, timeout=0.05) as c:
        assert c.request("echo", 1) == 1
        with pytest.raises(ReplyTimeout, match=r"0\.05 s") as caught:
            c.request("echo", 2)
        assert caught.value.maybe_carried_out
        assert c.request("echo", 3) == 3


def test_a_call_may_have_a_time_of_its_own() -> None:
    with ScriptedServer(silent_after(1)) as server, Client(server.target, timeout=0) as c:
        assert c.request("echo", 1, timeout=30) == 1
        with pytest.raises(ReplyTimeout):
            c.pipeline([("echo", 2), ("echo", 3)], timeout=0.05)


def test_a_reply_above_the_limit_is_refused() -> None:
    with ScriptedServer(correct) as server, Client(server.target, limits=Limits(max_content=100)) as c:
        assert c.request("echo", "x") == "x"
        with pytest.raises(BadReply, match="above the limit"):
            c.request("echo", "x" * 200)


def test_an_interrupted_call_leaves_no_reply_for_the_next() -> None:
    reached = threading.Event()
    release = threading.Event()

    def slow(peer: Caller) -> None:
        while True:
            request = peer.request()
            if request["value"] == "slow":
                reached.set()
                release.wait(30)
            peer.reply(peer.right(request))

    with ScriptedServer(slow) as server, Client(server.target) as c:
        assert c.request("echo", 1) == 1

        def interrupt() -> None:
            raise KeyboardInterrupt

        def wait_and_interrupt() -> None:
            reached.wait(30)
            c._loop.call_soon_threadsafe(interrupt)

        thread = threading.Thread(target=wait_and_interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            c.request("echo", "slow")
        thread.join()
        release.set()
        assert c.request("echo", "next") == "next"


def test_descriptors_run_out_only_for_those_that_need_more() -> None:
    with ScriptedServer(correct) as server, pytest.raises(NoDescriptors, match="open at most"):
        Client(server.target, connections=10**9)


def test_when_descriptors_run_out_on_the_way_the_open_ones_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import eventloop.connector as connector

    left = [2]

    def scarce(endpoint: Endpoint) -> socket.socket:
        if not left[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        left[0] -= 1
        return connector.open_socket(endpoint)

    with ScriptedServer(correct) as server, Client(server.target, connections=5, retry_for=0) as c:
        c._shared.open_socket = scarce
        assert c.map([("echo", n) for n in range(50)]) == list(range(50))
        assert c.refresh() == 2
    with ScriptedServer(correct) as server, Client(server.target, retry_for=0) as c:
        c._shared.open_socket = scarce
        with pytest.raises(NoDescriptors, match="ulimit"):
            c.request("echo", 1)


# --- the object itself -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "more", [{"connections": 0}, {"depth": 0}, {"retry_for": -1}, {"timeout": -1}, {"connect_timeout": 0}]
)
def test_numbers_that_make_no_sense_are_refused(more: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Client("127.0.0.1:1", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["", "host", "host:0", "host:x", "::1:5", "tls://a:1", "unix:"])
def test_addresses_that_make_no_sense_are_refused(address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the words are those of eventloop.addresses)
        Client(address)


def test_a_closed_client_says_so_and_closing_twice_is_fine() -> None:
    c = Client("127.0.0.1:1")
    c.close()
    c.close()
    for use in (lambda: c.request("x"), c.connect, c.refresh):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_all_failures_are_connection_errors_to_python() -> None:
    assert issubclass(ConnectionFailed, ConnectionError)
    assert not issubclass(ErrorReply, ConnectionError)


def test_closing_leaves_no_descriptor_behind() -> None:
    with (
        no_descriptor_left(),
        ScriptedServer(correct) as server,
        Client(server.target, connections=10) as c,
    ):
        c.connect()


def test_closing_has_an_end_also_where_an_interrupt_has_swallowed_a_connection_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libclient.client.CLOSING", 0.01)
    with ScriptedServer(correct) as server:
        client = Client(server.target)
        assert client.request("echo", 1) == 1
        client._pool._ending[Mock(usable=False)] = None  # which tells nothing
        client.close()
