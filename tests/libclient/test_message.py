"""`libclient.message`: one outgoing connection, driven by bytes and by faults, on fakes."""

from __future__ import annotations

import errno
import itertools
from typing import Any

import pytest

from eventloop import WaterMarks
from libclient import EndReason, Message, Outgoing, action_request
from protocol import Limits, ProtocolError
from protocol.states import CLOSED, CONNECTING, DRAINING, LIFECYCLE, OPEN, RELEASED, GuardedTransition, advance
from tests.fakes.faulty_socket import AGAIN, RESET, Errno, FaultySocket
from tests.libclient.bench import ENDPOINT, Bench
from tests.support.wire import error_reply, granting, header, message, reply


def ask(value: Any) -> Outgoing:
    return action_request("echo", value)


def contexts(pairs: list[tuple[Outgoing, Any]]) -> list[Any]:
    return [context for _, context in pairs]


def opened(bench: Bench, granted: bool = True) -> Message:
    """A message that is open and, if `granted`, had its first reply."""
    one = bench.message()
    if granted:
        one.send(ask("first"), "first")
        bench.feed(granting("first"))
        bench.told.clear()
        bench.sock.sent.clear()
        bench.sock.calls.clear()
    return one


class Watching:
    """An observer to whom nothing is news."""

    def transition(self, *told: object) -> None:
        pass


def test_whole_replies_are_read_in_one_step_where_some_are_awaited_and_none_has_begun() -> None:
    with Bench() as bench:
        one = bench.message()
        one.send(ask(1))
        assert not one.reads_whole, "keep-alive is not granted"
        bench.feed(granting(1))
        assert not one.reads_whole, "nothing is awaited"
        one.send(ask(2))
        assert one.reads_whole
        bench.feed(reply(2)[:1])
        assert not one.reads_whole, "a reply has begun"
        bench.feed(reply(2)[1:-1])
        assert not one.reads_whole, "its content has begun"


def test_of_an_observed_connection_no_reply_is_read_in_one_step() -> None:
    with Bench(observer=Watching) as bench:
        one = opened(bench)
        one.send(ask(2))
        assert one.granted
        assert not one.reads_whole


def test_of_an_observed_connection_the_guards_know_how_many_replies_it_expects() -> None:
    with Bench(observer=Watching) as bench:
        one = opened(bench)
        one.send(ask(2))
        assert one.expected == 1
        with pytest.raises(GuardedTransition, match="no reply expected"):
            advance(one, LIFECYCLE, RELEASED)
        bench.feed(reply(2))
        one.close()
        assert one.state is CLOSED


# --- sending -------------------------------------------------------------------------


def test_before_keep_alive_is_granted_one_request_is_in_flight() -> None:
    with Bench() as bench:
        one = bench.message(settle=False)
        one.send_all([(ask(1), "a"), (ask(2), "b"), (ask(3), "c")])
        assert one.state is CONNECTING
        assert bench.sockets == []
        bench.turn()
        assert one.state is OPEN
        assert [r.header.connection for r in bench.sent()] == ["keep-alive"]
        assert (one.in_flight, one.queued, one.granted) == (1, 2, False)


def test_once_granted_all_that_wait_leave_in_one_send_and_say_nothing_of_it_any_more() -> None:
    with Bench() as bench:
        one = bench.message(settle=False)
        one.send_all([(ask(1), "a"), (ask(2), "b"), (ask(3), "c")])
        bench.turn()
        bench.feed(granting(1))
        assert [r.header.connection for r in bench.sent()] == ["keep-alive", None, None]
        assert bench.sock.count("send") == 2
        bench.feed(reply(2) + reply(3))
        assert bench.answers == [("a", 1), ("b", 2), ("c", 3)]
        assert one.in_flight == 0


def test_requests_sent_from_inside_responses_leave_in_one_send() -> None:
    with Bench() as bench:
        one = opened(bench)
        bench.on_response = lambda message, context: context < 10 and message.send(ask(context), context + 10)
        one.send_all([(ask(n), n) for n in range(3)])
        assert bench.sock.count("send") == 1
        bench.feed(reply(0) + reply(1) + reply(2))
        assert bench.sock.count("send") == 2
        bench.feed(reply(0) + reply(1) + reply(2))
        assert bench.answers == [(0, 0), (1, 1), (2, 2), (10, 0), (11, 1), (12, 2)]


def test_requests_sent_from_inside_opened_leave() -> None:
    with Bench() as bench:
        bench.on_opened = lambda message: message.send(ask(1), "a")
        bench.message()
        assert len(bench.sent()) == 1


def test_without_keep_alive_the_request_says_nothing_of_the_connection() -> None:
    with Bench() as bench:
        bench.message(keep_alive=False).send(ask(1))
        assert bench.sent()[0].header.connection is None


def test_id_and_deadline_travel_with_every_request() -> None:
    with Bench() as bench:
        one = bench.message()
        for n in range(2):
            one.send(action_request("echo", n, id=n, deadline_ms=5), n)
        bench.feed(granting(0, id=0))
        assert [(r.header.id, r.header.deadline_ms) for r in bench.sent()] == [(0, 5), (1, 5)]


def test_large_contents_are_sent_in_place_and_small_ones_joined() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send_all([(ask(1), 1), (ask(2), 2)])
        assert [name for name, _ in bench.sock.calls] == ["send"]
        big = Outgoing("binary/echo", bytes(200_000))
        one.send(big, 3)
        assert [name for name, _ in bench.sock.calls] == ["send", "sendmsg"]
        assert big.framed[1] is big.content


def test_above_the_high_water_mark_requests_wait_and_go_on_when_it_drains() -> None:
    with Bench(marks=WaterMarks(high=1000, low=100)) as bench:
        one = opened(bench)
        bench.sock.script("send", AGAIN)
        one.send_all([(ask("x" * 100), n) for n in range(50)])
        assert 0 < one.in_flight < 20
        assert one.queued == 50 - one.in_flight
        for _ in range(200):
            bench.writable()
        assert (one.in_flight, one.queued) == (50, 0)
        assert [r.content["value"] for r in bench.sent()] == ["x" * 100] * 50


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_partial_sends_lose_nothing(piece: int) -> None:
    with Bench() as bench:
        one = opened(bench)
        bench.sock.always("send", piece).always("sendmsg", piece)
        one.send_all([(ask(n), n) for n in range(5)])
        while one.transport is not None and one.transport.queued:
            bench.writable()
        assert [r.content["value"] for r in bench.sent()] == [0, 1, 2, 3, 4]


# --- replies ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 50, 10_000])
def test_replies_in_pieces_of_any_size_are_matched_in_order(size: int) -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send_all([(ask(n), n) for n in range(4)])
        stream = reply(0) + message(b"\x00\xff", "binary/x") + reply({"deep": [1]}) + reply("last")
        for start in range(0, len(stream), size):
            bench.feed(stream[start : start + size])
        assert bench.answers == [(0, 0), (1, b"\x00\xff"), (2, {"deep": [1]}), (3, "last")]


def test_a_large_reply_is_received_in_place() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send(ask(1), 1)
        content = bytes(range(256)) * 1024
        stream = message(content, "binary/x")
        before = bench.shared.bytes_received
        for start in range(0, len(stream), 60_000):
            bench.feed(stream[start : start + 60_000])
            bench.read()
        for _ in range(10):
            bench.read()
        assert bench.answers == [(1, content)]
        assert isinstance(bench.answers[0][1], bytearray)
        assert bench.sock.count("recv_into") > 1
        assert bench.shared.bytes_received - before == len(stream)


def test_a_content_that_cannot_be_decoded_is_that_requests_reply() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send_all([(ask(1), 1), (ask(2), 2)])
        bench.feed(message(b"{nonsense") + reply(2))
        (first, error), second = bench.answers
        assert first == 1
        assert isinstance(error, ProtocolError)
        assert error.code == "bad-content"
        assert second == (2, 2)


def test_notifications_are_skipped() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send(ask(1), 1)
        bench.feed(reply("news", event="tick") + reply(1) + reply("news", event="tick"))
        assert bench.answers == [(1, 1)]
        assert one.usable


def test_bytes_are_counted_both_ways() -> None:
    with Bench() as bench:
        one = bench.message()
        one.send(ask(1))
        data = granting(1)
        bench.feed(data)
        assert bench.shared.bytes_sent == len(bench.sock.sent)
        assert bench.shared.bytes_received == len(data)


# --- one-shot peers, last replies --------------------------------------------------------


def test_a_one_shot_peer_is_a_success_and_what_waited_comes_back_unsent() -> None:
    with Bench() as bench:
        one = bench.message()
        usable = []
        bench.on_response = lambda message, context: usable.append(message.usable)
        one.send_all([(ask(1), "a"), (ask(2), "b")])
        bench.feed(reply(1))
        assert bench.answers == [("a", 1)]
        assert usable == [False]
        assert one.state is DRAINING
        bench.feed_eof()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.ONE_SHOT
        assert bench.ending.unanswered == []
        assert contexts(bench.ending.unsent) == ["b"]
        assert bench.sock.closed


def test_the_peers_fin_is_waited_for_before_we_close_but_not_for_ever() -> None:
    with Bench(linger=5.0) as bench:
        one = bench.message()
        one.send(ask(1), "a")
        bench.feed(reply(1))
        bench.wait(4.9)
        assert not bench.sock.closed
        assert bench.sock.count("shutdown") == 0
        bench.wait(0.2)
        bench.turn()
        assert bench.sock.closed
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.ONE_SHOT


def test_a_last_reply_leaves_the_requests_behind_it_unanswered() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send_all([(ask(n), n) for n in range(3)])
        bench.feed(reply(0) + reply(1, connection="close"))
        assert bench.answers == [(0, 0), (1, 1)]
        bench.feed_eof()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.LAST_REPLY
        assert contexts(bench.ending.unanswered) == [2]


def test_what_follows_a_last_reply_is_thrown_away() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send(ask(1), 1)
        bench.feed(reply(1, connection="close") + reply(2))
        bench.feed(b"\0\0\0")
        assert bench.answers == [(1, 1)]


def test_a_reset_after_the_last_reply_changes_nothing() -> None:
    with Bench() as bench:
        one = bench.message()
        one.send(ask(1), 1)
        bench.feed(reply(1))
        bench.sock.script("recv", RESET)
        bench.read()
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.ONE_SHOT


# --- how it ends otherwise ---------------------------------------------------------------


def test_an_idle_connection_closed_by_the_peer_is_no_error() -> None:
    with Bench() as bench:
        one = opened(bench)
        bench.feed_eof()
        bench.turn()
        assert one.state is CLOSED
        assert bench.ending == (EndReason.PEER_CLOSED, [], [], [])


def test_eof_before_a_reply_leaves_it_unanswered() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send_all([(ask(1), 1), (ask(2), 2)])
        bench.feed(reply(1))
        bench.feed_eof()
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.PEER_CLOSED
        assert contexts(bench.ending.unanswered) == [2]


@pytest.mark.parametrize("cut", [1, 2, 30, -1])
def test_eof_inside_a_reply_is_told_apart(cut: int) -> None:
    with Bench() as bench:
        opened(bench).send(ask(1), 1)
        bench.feed(reply("something")[:cut])
        bench.feed_eof()
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.TRUNCATED
        assert contexts(bench.ending.unanswered) == [1]


def test_a_reset_brings_the_systems_error() -> None:
    with Bench() as bench:
        opened(bench).send(ask(1), 1)
        bench.sock.script("recv", RESET)
        bench.read()
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.RESET
        assert [error.errno for error in bench.ending.errors if isinstance(error, OSError)] == [errno.ECONNRESET]
        assert contexts(bench.ending.unanswered) == [1]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\0\0", "bad-header"),
        (b"\0\x02{}", "bad-header"),
        (b"HTTP/1.1 400 Bad Request\r\n" + bytes(20_000), "bad-header"),
        (header(10**9), "content-too-large"),
    ],
)
def test_a_frame_that_cannot_be_trusted_ends_it_at_once(data: bytes, code: str) -> None:
    with Bench(limits=Limits(max_content=1000)) as bench:
        opened(bench).send(ask(1), 1)
        bench.feed(data)
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.BAD_FRAMING
        (error,) = bench.ending.errors
        assert isinstance(error, ProtocolError)
        assert error.code == code
        assert contexts(bench.ending.unanswered) == [1]


def test_a_reply_to_nothing_is_a_mismatch() -> None:
    with Bench() as bench:
        opened(bench)
        bench.feed(reply("surprise"))
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.MISMATCH
        assert bench.answers == []


def test_a_reply_with_another_requests_id_is_a_mismatch_and_answers_nothing() -> None:
    with Bench() as bench:
        opened(bench).send(action_request("echo", 1, id="mine"), 1)
        bench.feed(reply(1, id="other"))
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.MISMATCH
        assert contexts(bench.ending.unanswered) == [1]
        assert bench.answers == []


def test_an_error_before_anything_was_asked_is_a_refusal() -> None:
    with Bench() as bench:
        bench.message()
        bench.feed(error_reply("overloaded"))
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.REFUSED
        assert "overloaded" in str(vars(bench.ending.errors[0]))


def test_close_waits_for_what_was_sent_and_gives_back_what_was_not() -> None:
    with Bench() as bench:
        one = bench.message()
        one.send_all([(ask(1), 1), (ask(2), 2)])
        one.close()
        assert not bench.sock.closed
        bench.feed(granting(1))
        bench.turn()
        assert bench.answers == [(1, 1)]
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.DONE
        assert contexts(bench.ending.unsent) == [2]


@pytest.mark.parametrize("granted", [True, False])
def test_close_between_messages_closes_at_once(granted: bool) -> None:
    with Bench() as bench:
        one = opened(bench, granted)
        one.close()
        assert bench.sock.closed
        bench.turn()
        assert bench.ending == (EndReason.DONE, [], [], [])
        one.close()
        one.abort()
        bench.turn()


@pytest.mark.parametrize("verb", ["close", "abort"])
def test_a_message_that_is_still_connecting_can_be_given_up(verb: str) -> None:
    with Bench() as bench:
        one = bench.message(settle=False)
        one.send(ask(1), 1)
        getattr(one, verb)()
        bench.turn()
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is (EndReason.DONE if verb == "close" else EndReason.ABORTED)
        assert contexts(bench.ending.unsent) == [1]
        assert bench.sockets == []


@pytest.mark.parametrize("verb", ["close", "abort"])
def test_the_owner_may_end_it_from_inside_a_response(verb: str) -> None:
    with Bench() as bench:
        one = opened(bench)
        one.send_all([(ask(n), n) for n in range(3)])
        bench.on_response = lambda message, context: getattr(message, verb)()
        bench.feed(reply(0) + reply(1) + reply(2))
        bench.turn()
        assert bench.ending is not None
        assert contexts(bench.ending.unanswered) == ([] if verb == "close" else [1, 2])
        assert len(bench.answers) + len(bench.ending.unanswered) == 3


def test_sending_on_a_message_that_has_ended_is_a_bug_of_the_owner() -> None:
    with Bench() as bench:
        one = opened(bench)
        one.abort()
        one.send(ask(1), 1)  # not told yet: it comes back
        bench.turn()
        assert bench.ending is not None
        assert contexts(bench.ending.unsent) == [1]
        with pytest.raises(RuntimeError, match="make another"):
            one.send(ask(1))
        with pytest.raises(RuntimeError, match="make another"):
            one.send_all([])


def test_an_exception_from_the_owner_does_not_hold_back_later_requests() -> None:
    with Bench() as bench:
        one = opened(bench)

        def fail(message: Message, context: Any) -> None:
            raise ValueError("the owner's bug")

        bench.on_response = fail
        one.send(ask(1), 1)
        with pytest.raises(ValueError, match="the owner's bug"):
            bench.feed(reply(1))
        one.send(ask(2), 2)
        assert len(bench.sent()) == 2


# --- connecting --------------------------------------------------------------------------


def test_every_address_is_tried_and_each_failure_told() -> None:
    numbers = [errno.ECONNREFUSED, errno.ENETUNREACH]
    codes = iter(numbers)

    def failing() -> FaultySocket:
        return FaultySocket().script("connect_ex", Errno(next(codes)))

    with Bench(make_socket=failing) as bench:
        one = Message(bench.shared, bench, [ENDPOINT, ENDPOINT])
        one.send(ask(1), 1)
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.NOT_CONNECTED
        assert [error.errno for error in bench.ending.errors if isinstance(error, OSError)] == numbers
        assert contexts(bench.ending.unsent) == [1]
        assert all(sock.closed for sock in bench.sockets)
        assert bench.told == [("closed", EndReason.NOT_CONNECTED)]


def test_so_error_is_checked() -> None:
    def pending() -> FaultySocket:
        sock = FaultySocket().script("connect_ex", Errno(errno.EINPROGRESS))
        sock.options[1, 4] = errno.ECONNREFUSED  # SOL_SOCKET, SO_ERROR
        return sock

    with Bench(make_socket=pending) as bench:
        bench.message()
        bench.writable()
        assert bench.ending is not None
        assert [error.errno for error in bench.ending.errors if isinstance(error, OSError)] == [errno.ECONNREFUSED]


def test_connecting_has_its_own_time() -> None:
    with Bench(make_socket=lambda: FaultySocket().script("connect_ex", Errno(errno.EINPROGRESS))) as bench:
        bench.message()
        bench.wait(4.9)
        assert bench.ending is None
        bench.wait(0.2)
        assert bench.ending is not None
        assert [error.errno for error in bench.ending.errors if isinstance(error, OSError)] == [errno.ETIMEDOUT]


# --- time ----------------------------------------------------------------------------------


def test_a_reply_withheld_ends_the_connection_with_everything_unanswered() -> None:
    with Bench(timeout=10) as bench:
        one = opened(bench)
        one.send_all([(ask(1), 1), (ask(2), 2)])
        bench.wait(9.9)
        assert bench.ending is None
        bench.wait(0.2)
        bench.turn()
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.REPLY_TIMEOUT
        assert contexts(bench.ending.unanswered) == [1, 2]


def test_each_reply_begins_the_time_of_the_next() -> None:
    with Bench(timeout=10) as bench:
        one = opened(bench)
        one.send_all([(ask(n), n) for n in range(3)])
        for n in range(3):
            bench.wait(9)
            bench.feed(reply(n))
        bench.wait(1000)
        assert bench.ending is None, "nothing is awaited any more"


def test_a_trickled_reply_does_not_begin_it() -> None:
    with Bench(timeout=10) as bench:
        opened(bench).send(ask(1), 1)
        data = reply("x" * 100)
        for n in range(12):
            bench.wait(1)
            if bench.ending is None and not bench.sock.closed:
                bench.feed(data[n : n + 1])
        assert bench.ending is not None
        assert bench.ending.reason is EndReason.REPLY_TIMEOUT


def test_a_large_reply_that_makes_progress_does() -> None:
    with Bench(timeout=10) as bench:
        opened(bench).send(ask(1), 1)
        content = bytes(400_000)
        stream = message(content, "binary/x")
        for start in range(0, len(stream), 70_000):
            bench.wait(9)
            bench.feed(stream[start : start + 70_000])
            bench.read()
            bench.read()
        assert bench.answers == [(1, content)]


def test_sending_that_makes_progress_does() -> None:
    with Bench(timeout=10) as bench:
        one = opened(bench)
        bench.sock.always("send", 1000).always("sendmsg", 1000)
        one.send(Outgoing("binary/echo", bytes(70_000)), 1)
        for _ in range(20):
            bench.wait(9)
            bench.writable()
        assert bench.ending is None
        bench.wait(10.1)
        bench.turn()
        assert bench.ending is not None


def test_a_timeout_of_0_is_off() -> None:
    with Bench(timeout=0) as bench:
        opened(bench).send(ask(1), 1)
        bench.wait(10**6)
        assert bench.ending is None


# --- faults at each call in turn -------------------------------------------------------------


@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("fault", [RESET, AGAIN, Errno(errno.EPIPE), Errno(errno.EINTR), Errno(errno.ENOBUFS)])
def test_a_fault_at_any_call_loses_no_request_and_tells_the_end_once(fault: Errno, stays: bool) -> None:
    for k in itertools.count(1):
        sock = FaultySocket().fail_at_call(k, fault, stays=stays)
        with Bench(make_socket=lambda sock=sock: sock) as bench:  # type: ignore[misc]
            one = bench.message(settle=False)
            one.send_all([(ask(n), n) for n in range(3)] + [(Outgoing("binary/echo", bytes(100_000)), 3)])
            bench.turn()
            for data in (granting(0), reply(1) + reply(2), message(bytes(100_000), "binary/echo")):
                for _ in range(4):
                    if bench.ending is None and not sock.closed:
                        if one.transport is not None and one.transport.queued:
                            bench.writable()
                        if _ == 0:
                            sock.feed(data)
                        if one.transport is not None:
                            bench.read()
            if bench.ending is None:
                one.close()
                bench.turn()
            if bench.ending is None:  # a lost readiness: the timeout finds it
                bench.wait(100)
                bench.turn()
            assert bench.ending is not None
            seen = [context for context, _ in bench.answers]
            seen += contexts(bench.ending.unanswered) + contexts(bench.ending.unsent)
            assert seen == [0, 1, 2, 3]
            assert sock.closed
        if not sock.fired:
            break
    assert k > 5
