"""`libclient.pool`: which connection takes a call, and what becomes of calls whose connection ends; on fakes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from eventloop import Address, Endpoint
from libclient import (
    Backoff,
    BadReply,
    Call,
    ClosedEarly,
    ConnectionReset,
    EndReason,
    ErrorReply,
    Pool,
    Refused,
    ReplyTimeout,
    UnknownHost,
    action_request,
)
from libclient.call import error_in
from tests.fakes.faulty_socket import RESET, Errno, FaultySocket
from tests.libclient.bench import FakeNetwork
from tests.support.wire import error_reply, granting, reply

ADDRESS = Address("tcp", "192.0.2.1", 80)
REFUSED = Errno(errno.ECONNREFUSED)


class PoolBench(FakeNetwork):
    """A pool on fakes."""

    def __init__(self, random: float = 1.0, **more: Any) -> None:
        super().__init__()
        self.done: list[Call] = []
        self.pool = Pool(
            self.shared,
            ADDRESS,
            self.done.append,
            backoff=Backoff(0.1, 10.0, lambda: random),
            resolve=self.resolve,
            **more,
        )

    def submit(self, *values: Any, idempotent: bool = False, width: int | None = None) -> list[Call]:
        calls = [Call(action_request("echo", value), idempotent) for value in values]
        self.pool.submit(calls, width)
        self.turn()
        return calls

    def sent(self, sock: FaultySocket | None = None) -> list[Any]:
        """The values that were asked for on a socket."""
        return [content["value"] for content in self.asked(sock)]


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[PoolBench]:
    bench = PoolBench(**getattr(request, "param", {}))
    yield bench
    bench.loop.close()


def given(**more: Any) -> pytest.MarkDecorator:
    """The pool's arguments for one test."""
    return pytest.mark.parametrize("bench", [more], indirect=True)


# --- placing ---------------------------------------------------------------------------


def test_nothing_is_opened_before_there_is_a_call(bench: PoolBench) -> None:
    bench.turn()
    assert bench.sockets == []
    assert bench.pool.settled


def test_an_answer_is_value_and_header(bench: PoolBench) -> None:
    (call,) = bench.submit(1)
    bench.feed(granting(1))
    assert bench.done == [call]
    assert call.value == {"result": 1}
    assert call.header is not None
    assert call.error is None


def test_a_kept_connection_serves_the_next_call(bench: PoolBench) -> None:
    bench.submit(1)
    bench.feed(granting(1))
    bench.submit(2)
    bench.feed(reply(2))
    assert len(bench.sockets) == 1
    assert len(bench.done) == 2


@given(connections=3, depth=2)
def test_calls_are_spread_and_each_connection_has_its_depth(bench: PoolBench) -> None:
    bench.submit(*range(20))
    assert [bench.sent(sock) for sock in bench.sockets] == [[0], [1], [2]]
    bench.feed(granting(0), bench.sockets[0])
    assert bench.sent(bench.sockets[0]) == [0, 3, 4]
    assert len(bench.pool.waiting) == 15


@given(connections=3)
def test_width_limits_how_many_connections_are_used(bench: PoolBench) -> None:
    bench.submit(1, 2, 3, width=1)
    assert len(bench.sockets) == 1
    bench.submit(4, 5, 6)
    assert len(bench.sockets) == 1
    bench.submit(width=2)
    assert len(bench.sockets) == 2


@given(connections=5)
def test_no_more_are_opened_than_there_are_calls(bench: PoolBench) -> None:
    bench.submit(1, 2)
    assert len(bench.sockets) == 2


@given(connections=2)
def test_a_one_shot_peer_gets_a_connection_per_call(bench: PoolBench) -> None:
    bench.submit(*range(6))
    for _ in range(3):
        for sock in bench.sockets[-2:]:
            bench.feed(reply("x"), sock)
            bench.end(sock)
    assert len(bench.sockets) == 6
    assert [bench.sent(sock) for sock in bench.sockets] == [[n] for n in range(6)]
    assert all(call.error is None for call in bench.done)
    assert bench.pool.settled


def test_the_next_connection_does_not_wait_for_the_last_ones_fin(bench: PoolBench) -> None:
    bench.submit(1, 2)
    bench.feed(reply(1))
    assert len(bench.sockets) == 2
    assert not bench.sockets[0].closed


# --- connecting again --------------------------------------------------------------------


def test_backoff_doubles_up_to_its_cap_with_full_jitter() -> None:
    assert [Backoff(0.1, 1.0, lambda: 1.0).delay(n) for n in range(1, 7)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert Backoff(0.1, 1.0, lambda: 0.0).delay(5) == 0
    assert Backoff(0.1, 1.0, lambda: 0.5).delay(10**6) == 0.5


@given(retry_for=0.3)
def test_connecting_is_tried_again_after_growing_pauses_and_then_fails(bench: PoolBench) -> None:
    bench.refuse = 100
    calls = bench.submit(1, 2)
    assert len(bench.sockets) == 1
    bench.wait(0.09)
    assert len(bench.sockets) == 1
    bench.wait(0.02)
    assert len(bench.sockets) == 2
    bench.wait(0.19)
    assert len(bench.sockets) == 2
    assert bench.done == []
    bench.wait(0.02)
    assert len(bench.sockets) == 3
    assert bench.done == calls
    assert all(isinstance(call.error, Refused) for call in calls)
    assert not any(call.error.maybe_carried_out for call in calls)  # type: ignore[union-attr]
    assert bench.resolved == 3, "it may have moved"


@given(retry_for=0.3)
def test_a_server_that_comes_back_is_found(bench: PoolBench) -> None:
    bench.refuse = 2
    (call,) = bench.submit(1)
    bench.wait(0.11)
    bench.wait(0.21)
    bench.feed(granting(1))
    assert call.value == {"result": 1}


@pytest.mark.parametrize("random", [0.05, 0.5, 1.0])
def test_by_default_a_restart_of_less_than_five_seconds_costs_no_call(random: float) -> None:
    """However the pauses fall: what is budgeted is time."""
    bench = PoolBench(random)
    bench.pool.backoff = Backoff(random=lambda: random)
    (call,) = bench.submit(1)
    bench.feed(granting(1))
    (call,) = bench.submit(2, idempotent=True)
    bench.refuse = 10**6
    bench.end()  # the server is gone, in the middle of a request
    for _ in range(490):
        bench.wait(0.01)
        assert not call.done
    bench.refuse = 0
    for _ in range(110):
        bench.wait(0.01)
    assert bench.sent() == [2]
    bench.feed(granting(2))
    assert call.value == {"result": 2}
    assert bench.pool.failures == 0
    bench.loop.close()


def test_a_server_that_stays_away_is_given_up_after_the_budget_and_one_pause() -> None:
    bench = PoolBench(1.0)
    bench.pool.backoff = Backoff(random=lambda: 1.0)
    bench.refuse = 10**6
    (call,) = bench.submit(1)
    waited = 0.0
    while not call.done and waited < 20:
        bench.wait(0.01)
        waited += 0.01
    assert isinstance(call.error, Refused)
    assert 5.0 <= waited <= 6.1
    (call,) = bench.submit(2)
    assert not call.done, "the next call has a budget of its own"
    bench.loop.close()


def test_a_name_that_fails_after_a_long_silence_has_the_whole_budget() -> None:
    """Between two calls nobody turns the loop: its `now` is that of the last one."""
    bench = PoolBench(1.0)
    known, bench.pool._resolve = bench.pool._resolve, lambda address: (_ for _ in ()).throw(UnknownHost("not now"))
    bench.clock.advance(100)
    (call,) = bench.submit(1)
    bench.wait(0.11)
    assert not call.done
    bench.pool._resolve = known
    bench.wait(0.21)
    bench.feed(granting(1))
    assert call.error is None
    bench.loop.close()


@given(retry_for=0, connections=3)
def test_without_retries_the_first_failure_of_all_is_the_end(bench: PoolBench) -> None:
    bench.refuse = 3
    calls = bench.submit(1, 2, 3)
    assert bench.done == calls


@given(retry_for=0, connections=3)
def test_while_one_is_open_the_calls_are_its(bench: PoolBench) -> None:
    bench.refuse = 2
    calls = bench.submit(1, 2, 3)
    bench.feed(granting(1))
    bench.feed(reply(2) + reply(3))
    assert [call.error for call in calls] == [None] * 3
    assert len(bench.sockets) == 3


@given(retry_for=0.1)
def test_a_name_that_does_not_resolve_fails_the_calls(bench: PoolBench) -> None:
    def unknown(address: Address) -> list[Endpoint]:
        raise UnknownHost("no such name")

    bench.pool._resolve = unknown
    (call,) = bench.submit(1)
    bench.wait(0.2)
    assert isinstance(call.error, UnknownHost)


@given(retry_for=0.1)
def test_an_overloaded_server_is_asked_again_later_and_then_its_error_told(bench: PoolBench) -> None:
    bench.pool.keep(1)
    bench.turn()
    bench.feed(error_reply("overloaded"))  # before anything was asked
    assert bench.pool.opening
    bench.wait(0.2)
    assert len(bench.sockets) == 2
    bench.feed(error_reply("overloaded"))
    assert not bench.pool.opening
    assert isinstance(bench.pool.last_error, ErrorReply)
    assert bench.pool.last_error.code == "overloaded"


# --- repeating -----------------------------------------------------------------------------


def test_an_idle_close_that_crosses_an_idempotent_request_is_repeated_at_once(bench: PoolBench) -> None:
    bench.submit(1)
    bench.feed(granting(1))
    (call,) = bench.submit(2, idempotent=True)
    bench.end()
    assert len(bench.sockets) == 2, "without a pause: the server is not in trouble"
    assert bench.sent() == [2]
    bench.feed(granting(2))
    assert call.value == {"result": 2}


@pytest.mark.parametrize("fault", [None, RESET])
def test_one_that_crosses_any_other_request_fails_and_says_so(bench: PoolBench, fault: Errno | None) -> None:
    bench.submit(1)
    bench.feed(granting(1))
    (call,) = bench.submit(2)
    bench.end(fault=fault)
    assert isinstance(call.error, ConnectionReset if fault else ClosedEarly)
    assert call.error.maybe_carried_out
    assert len(bench.sockets) == 1
    bench.submit(3)
    assert bench.sent() == [3], "the next call gets a new connection"


def test_a_close_noticed_before_sending_costs_nothing(bench: PoolBench) -> None:
    bench.submit(1)
    bench.feed(granting(1))
    bench.end()
    (call,) = bench.submit(2)
    bench.feed(granting(2))
    assert call.error is None
    assert call.lost_at is None


@given(retry_for=0.3)
def test_a_server_that_takes_calls_and_answers_none_is_asked_only_so_often(bench: PoolBench) -> None:
    (call,) = bench.submit(1, idempotent=True)
    for pause in (0.11, 0.21):
        bench.end()
        assert not call.done
        bench.wait(pause)
    bench.end()
    assert isinstance(call.error, ClosedEarly)
    assert len(bench.sockets) == 3


def test_of_a_pipeline_only_what_is_idempotent_and_unanswered_is_repeated_in_order(bench: PoolBench) -> None:
    bench.submit(0)
    bench.feed(granting(0))
    calls = [Call(action_request("echo", n), idempotent=n % 2 == 0) for n in range(1, 6)]
    bench.pool.submit(calls)
    bench.feed(reply(1))
    bench.end()
    assert [type(call.error) for call in calls] == [type(None), type(None), ClosedEarly, type(None), ClosedEarly]
    assert bench.sent() == [2]
    bench.feed(granting(2))
    assert bench.sent() == [2, 4]


def test_after_a_last_reply_what_never_began_to_leave_is_sent_again_whatever_it_is(bench: PoolBench) -> None:
    calls = bench.submit(1, 2)
    bench.feed(reply(1, connection="close"))
    bench.end(bench.sockets[0])
    bench.feed(granting(2))
    assert [call.value for call in calls] == [{"result": 1}, {"result": 2}]


def test_a_timeout_fails_the_call_and_repeats_those_behind_it(bench: PoolBench) -> None:
    bench.submit(0)
    bench.feed(granting(0))
    first, second, third = bench.submit(1, 2, idempotent=True) + bench.submit(3)
    bench.wait(10.1)
    assert isinstance(first.error, ReplyTimeout)
    assert not second.done
    assert isinstance(third.error, ReplyTimeout)
    assert bench.sent() == [2]


def test_a_peer_that_talks_nonsense_is_not_asked_again(bench: PoolBench) -> None:
    (call,) = bench.submit(1, idempotent=True)
    bench.feed(b"\0\0")
    assert isinstance(call.error, BadReply)
    assert len(bench.sockets) == 1


# --- answers that are errors -------------------------------------------------------------------


def test_an_error_reply_is_an_answer_and_never_repeated(bench: PoolBench) -> None:
    (call,) = bench.submit(1, idempotent=True)
    bench.feed(error_reply("overloaded", connection="close"))
    bench.end()
    assert isinstance(call.error, ErrorReply)
    assert (call.error.code, call.error.message) == ("overloaded", "about overloaded")
    assert str(call.error) == "overloaded: about overloaded"
    assert len(bench.sockets) == 1


def test_a_server_that_stops_has_not_answered_what_may_be_asked_again(bench: PoolBench) -> None:
    (call,) = bench.submit(1, idempotent=True)
    bench.feed(error_reply("shutting-down", connection="close"))
    bench.end()
    assert not call.done
    assert len(bench.sockets) == 1  # a pause first: it may go on to accept
    bench.wait(0.1)
    assert bench.sent() == [1]
    bench.feed(granting(1))
    assert (call.error, call.value) == (None, {"result": 1})
    assert len(bench.sockets) == 2


@given(retry_for=5.0)
def test_a_server_that_stops_again_and_again_is_asked_only_for_so_long(bench: PoolBench) -> None:
    (call,) = bench.submit(1, idempotent=True)
    for _ in range(3):
        assert not call.done
        bench.feed(error_reply("shutting-down", connection="close"))
        bench.end()
        bench.wait(2.0)
    bench.feed(error_reply("shutting-down", connection="close"))
    assert isinstance(call.error, ErrorReply)
    assert call.error.code == "shutting-down"
    assert len(bench.sockets) == 4


@given(retry_for=5.0)
@pytest.mark.parametrize(("idempotent", "connection"), [(False, "close"), (True, "keep-alive")])
def test_shutting_down_is_told_where_repeating_might_harm_or_nobody_stops(
    bench: PoolBench, idempotent: bool, connection: str
) -> None:
    (call,) = bench.submit(1, idempotent=idempotent)
    bench.feed(error_reply("shutting-down", connection=connection))
    bench.wait(1.0)
    assert isinstance(call.error, ErrorReply)
    assert len(bench.sockets) == 1


@pytest.mark.parametrize(
    "value", [None, 1, [], {}, {"error": None}, {"error": "x"}, {"error": {"code": 1}}, {"result": "Error: no"}]
)
def test_only_what_wire_md_calls_an_error_is_one(value: object) -> None:
    assert error_in(value) is None


def test_a_reply_that_cannot_be_decoded_is_a_bad_reply(bench: PoolBench) -> None:
    from tests.support.wire import message

    (call,) = bench.submit(1)
    bench.feed(message(b"{", connection="keep-alive"))
    assert isinstance(call.error, BadReply)
    bench.submit(2)
    assert len(bench.sockets) == 1, "the frame was whole: the connection goes on"


# --- ending ----------------------------------------------------------------------------------


@given(connections=2)
def test_abandoning_cuts_what_is_busy_and_keeps_what_is_idle(bench: PoolBench) -> None:
    bench.submit(1, 2)
    bench.feed(granting(1), bench.sockets[0])
    bench.submit(3, 4)
    bench.feed(reply(3) + reply(4), bench.sockets[0])
    bench.pool.abandon()
    bench.turn()
    assert [sock.closed for sock in bench.sockets] == [False, True]
    assert bench.pool.open_count == 1
    bench.submit(5)
    assert bench.sent(bench.sockets[0])[-1] == 5


@given(connections=2, retry_for=5)
def test_closing_ends_everything_pauses_too(bench: PoolBench) -> None:
    bench.submit(1)
    bench.refuse = 1
    bench.submit(2)
    bench.pool.close()
    bench.turn()
    assert bench.pool.settled
    assert all(sock.closed for sock in bench.sockets)
    bench.wait(100)
    assert len(bench.sockets) == 2


@given(connections=2)
def test_closing_is_an_end_in_good_order_for_who_is_idle_and_a_cut_for_who_is_busy(bench: PoolBench) -> None:
    bench.submit(1, 2)
    idle, busy = bench.pool._open
    bench.feed(granting(1), bench.sockets[0])
    bench.pool.close()
    bench.turn()
    assert (idle.reason, busy.reason) == (EndReason.DONE, EndReason.ABORTED)
    assert bench.pool.settled
    assert all(sock.closed for sock in bench.sockets)
