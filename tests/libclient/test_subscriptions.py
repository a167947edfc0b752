"""`libclient.subscriptions`: once and in order over any number of connections; on fakes, and with a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from eventloop import Address
from libclient import Backoff, BadReply, Client, ConnectionFailed, ErrorReply, Gap, Published, Refused, Subscription
from libclient.subscriptions import Event, Subscriptions
from libserver import Actions, CloseReason, Server, Topics
from tests.fakes.faulty_socket import RESET
from tests.libclient.bench import FakeNetwork
from tests.support.scripted import Caller, ScriptedServer, unused_port
from tests.support.wire import error_reply, granting, json_message, message, reply

ADDRESS = Address("tcp", "192.0.2.1", 80)


class SubscriberBench(FakeNetwork):
    """Subscriptions on fakes, of which a test plays the server."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Event] = []
        self.all = Subscriptions(
            self.shared,
            ADDRESS,
            backoff=Backoff(1.0, 8.0, lambda: 1.0),
            heartbeat=0.0,
            resolve=self.resolve,
        )

    def add(self, topic: str = "t", room: int = 1000, callback: bool = True, **more: Any) -> Subscription:
        subscription = self.all.add(topic, {"slow": "oldest"}, self.heard.append if callback else None, room, **more)
        self.turn()
        return subscription

    def subscribed(
        self, epoch: str | None = "e", seq: int | None = 0, missed: int | None = 0, topic: str = "t"
    ) -> None:
        first = self.sockets[-1].sent.count(b"keep-alive") and not getattr(self.sockets[-1], "granted", False)
        told = {"topic": topic, "epoch": epoch, "seq": seq, "missed": missed}
        self.sockets[-1].granted = True  # type: ignore[attr-defined]
        self.feed(granting(told) if first else reply(told))

    def publish(self, *seqs: int, topic: str = "t") -> None:
        self.feed(b"".join(json_message({"topic": topic, "seq": s, "value": s}, event="message") for s in seqs))

    def gap(self, first: int, last: int, dropped: int | None, topic: str = "t") -> None:
        self.feed(json_message({"topic": topic, "from": first, "to": last, "dropped": dropped}, event="gap"))

    def take(self) -> list[Event]:
        heard, self.heard[:] = [*self.heard], []
        return heard


@pytest.fixture
def bench() -> Iterator[SubscriberBench]:
    bench = SubscriberBench()
    yield bench
    bench.all.close()
    bench.turn()
    assert bench.all.settled
    bench.loop.close()


def of(*seqs: int, topic: str = "t") -> list[Published]:
    return [Published(topic, seq, seq) for seq in seqs]


# --- on one connection -----------------------------------------------------------------------


def test_it_asks_with_its_options_and_hears_what_is_published(bench: SubscriberBench) -> None:
    subscription = bench.add()
    assert bench.asked() == [{"action": "subscribe", "topic": "t", "slow": "oldest"}]
    assert (subscription.connected, subscription.epoch, subscription.seq) == (False, None, None)
    bench.subscribed(seq=4)
    assert (subscription.connected, subscription.epoch, subscription.seq) == (True, "e", 4)
    bench.publish(5, 6)
    assert bench.take() == of(5, 6)
    assert subscription.seq == 6


def test_all_of_them_share_one_connection(bench: SubscriberBench) -> None:
    bench.add("a")
    bench.subscribed(topic="a")
    bench.add("b/*")
    bench.subscribed(None, None, topic="b/*")
    bench.publish(1, topic="a")
    bench.publish(1, topic="b/x")
    bench.publish(1, topic="c")
    assert bench.take() == [*of(1, topic="a"), *of(1, topic="b/x")]
    assert len(bench.sockets) == 1


def test_a_topic_is_subscribed_to_once(bench: SubscriberBench) -> None:
    bench.add()
    with pytest.raises(ValueError, match="already: close it first"):
        bench.add()


def test_events_that_we_do_not_know_are_skipped(bench: SubscriberBench) -> None:
    bench.add()
    bench.subscribed()
    bench.feed(json_message({"topic": "t"}, event="weather") + json_message({"topic": "t"}, event="message"))
    bench.publish(1)
    assert bench.take() == of(1)


def test_closing_one_unsubscribes_and_closing_the_last_ends_the_connection(bench: SubscriberBench) -> None:
    first = bench.add("a")
    bench.subscribed(topic="a")
    second = bench.add("b")
    bench.subscribed(topic="b")
    first.close()
    bench.turn()
    assert bench.asked()[-1] == {"action": "unsubscribe", "topic": "a"}
    bench.publish(1, topic="a")  # which was on its way
    bench.feed(reply({"topic": "a"}))
    assert bench.take() == []
    second.close()
    second.close()
    bench.turn()
    assert bench.all.settled
    assert repr(second) == "<Subscription to 'b' closed, 0 waiting>"


def test_what_the_server_refuses_is_over(bench: SubscriberBench) -> None:
    refused, fine = bench.add("a"), bench.add("b", callback=False)
    bench.feed(error_reply("forbidden", connection="keep-alive"))
    assert isinstance(refused.error, ErrorReply)
    bench.feed(reply({"topic": "b", "epoch": "e", "seq": 0, "missed": 0}))
    assert fine.connected
    assert len(bench.all) == 1
    bench.add("a")  # which may be tried again


def test_the_refusal_of_the_only_one_ends_the_connection(bench: SubscriberBench) -> None:
    bench.add()
    bench.feed(error_reply("forbidden", connection="keep-alive"))
    bench.turn()
    assert bench.all.settled


# --- over several connections ----------------------------------------------------------------------


def lose(bench: SubscriberBench) -> None:
    bench.end(fault=RESET)
    bench.wait(1.1)


def test_on_the_next_connection_it_goes_on_where_it_was(bench: SubscriberBench) -> None:
    subscription = bench.add()
    bench.subscribed(seq=4)
    bench.publish(5)
    bench.end(fault=RESET)
    assert not subscription.connected
    bench.wait(1.1)
    assert bench.asked()[-1]["since"] == {"epoch": "e", "seq": 5}
    bench.subscribed(seq=7, missed=2)
    bench.publish(6, 7)
    bench.gap(8, 9, 2)
    lose(bench)
    assert bench.asked()[-1]["since"] == {"epoch": "e", "seq": 9}
    assert bench.take() == [*of(5, 6, 7), Gap("t", 8, 9, 2)]


def test_where_nothing_came_yet_it_is_where_the_first_reply_said(bench: SubscriberBench) -> None:
    bench.add()
    bench.subscribed(seq=4)
    lose(bench)
    assert bench.asked()[-1]["since"] == {"epoch": "e", "seq": 4}


def test_what_was_missed_is_asked_for_again_until_it_has_come(bench: SubscriberBench) -> None:
    bench.add()
    bench.subscribed(seq=4)
    lose(bench)
    bench.subscribed(seq=9, missed=5)
    lose(bench)
    assert bench.asked()[-1]["since"] == {"epoch": "e", "seq": 4}


def test_after_a_restart_the_gap_begins_the_new_epoch(bench: SubscriberBench) -> None:
    subscription = bench.add()
    bench.subscribed(seq=40)
    lose(bench)
    bench.subscribed("new", 2, None)
    lose(bench)
    assert bench.asked()[-1]["since"] == {"epoch": "e", "seq": 40}, "the gap has not come"
    bench.subscribed("new", 2, None)
    bench.gap(1, 0, None)
    bench.publish(1)
    assert (subscription.epoch, subscription.seq) == ("new", 1)
    assert bench.take() == [Gap("t", 1, 0, None), *of(1)]


def test_a_since_of_an_earlier_program_is_the_first_that_is_asked_for(bench: SubscriberBench) -> None:
    bench.add(since=("e", 3))
    assert bench.asked()[-1]["since"] == {"epoch": "e", "seq": 3}


def test_a_pattern_says_that_something_may_be_missing(bench: SubscriberBench) -> None:
    subscription = bench.add("a/*")
    bench.subscribed(None, None, topic="a/*")
    bench.publish(7, topic="a/b")
    lose(bench)
    assert "since" not in bench.asked()[-1]
    bench.subscribed(None, None, topic="a/*")
    assert bench.take() == [*of(7, topic="a/b"), Gap("a/*", 0, 0, None)]
    assert (subscription.epoch, subscription.seq) == (None, None)


def test_a_server_that_is_shutting_down_is_no_refusal(bench: SubscriberBench) -> None:
    subscription = bench.add()
    bench.feed(error_reply("shutting-down", connection="close"))
    bench.end()
    bench.wait(1.1)
    bench.subscribed()
    assert subscription.connected
    assert subscription.error is None


# --- the queue --------------------------------------------------------------------------------


def test_while_the_queue_is_full_nothing_is_read(bench: SubscriberBench) -> None:
    subscription = bench.add(room=4, callback=False)
    bench.subscribed()
    bench.publish(1, 2, 3)
    assert bench.selector.interest(bench.sockets[-1]) == 1
    bench.publish(4, 5)
    assert bench.selector.interest(bench.sockets[-1]) == 0
    assert subscription.waiting == 5, "what had been read is not lost"
    assert [subscription.get() for _ in range(2)] == of(1, 2)
    assert bench.selector.interest(bench.sockets[-1]) == 0
    assert subscription.get() == Published("t", 3, 3)
    assert bench.selector.interest(bench.sockets[-1]) == 1, "half of it is empty"


def test_a_reply_to_subscribe_is_read_also_while_a_queue_is_full(bench: SubscriberBench) -> None:
    full = bench.add("a", room=1, callback=False)
    bench.subscribed(topic="a")
    bench.publish(1, topic="a")
    assert bench.selector.interest(bench.sockets[-1]) == 0
    second = bench.add("b")
    assert bench.selector.interest(bench.sockets[-1]) == 1
    bench.publish(2, 3, topic="a")
    bench.subscribed(topic="b")
    assert second.connected
    assert (full.waiting, bench.selector.interest(bench.sockets[-1])) == (3, 0)


def test_a_reply_that_can_not_be_read_is_a_refusal(bench: SubscriberBench) -> None:
    subscription = bench.add()
    bench.feed(message(b"\xff", connection="keep-alive"))
    assert isinstance(subscription.error, BadReply)


def test_one_that_was_closed_before_the_server_had_it_is_unsubscribed(bench: SubscriberBench) -> None:
    bench.add("a")
    bench.subscribed(topic="a")
    bench.add("b").close()
    bench.feed(reply({"topic": "b", "epoch": "e", "seq": 0, "missed": 0}))
    assert bench.asked()[-1] == {"action": "unsubscribe", "topic": "b"}


def test_a_subscription_that_is_closed_unanswered_with_its_connection_does_not_count_in_the_next(
    bench: SubscriberBench,
) -> None:
    bench.add("a").close()
    bench.turn()
    bench.add("b", room=1, callback=False)
    bench.subscribed(topic="b")
    bench.publish(1, topic="b")
    assert bench.selector.interest(bench.sockets[-1]) == 0


def test_closing_the_one_that_is_full_lets_the_others_read_on(bench: SubscriberBench) -> None:
    full = bench.add("a", room=1, callback=False)
    bench.subscribed(topic="a")
    bench.add("b")
    bench.subscribed(topic="b")
    bench.publish(1, topic="a")
    assert bench.selector.interest(bench.sockets[-1]) == 0
    full.close()
    assert bench.selector.interest(bench.sockets[-1]) == 1
    assert [*full] == of(1, topic="a"), "what waits can still be had"


def test_waiting_for_an_event_has_an_end(bench: SubscriberBench) -> None:
    subscription = bench.add(callback=False)
    bench.subscribed()
    with pytest.raises(TimeoutError, match="nothing was published to 't' for 2 s"):
        subscription.get(2.0)
    subscription.close()
    with pytest.raises(RuntimeError, match="closed"):
        subscription.get()


def test_with_a_callback_there_is_nothing_to_iterate_over(bench: SubscriberBench) -> None:
    with pytest.raises(RuntimeError, match=r"Client\.listen"):
        bench.add().get()


# --- with a real server ------------------------------------------------------------------------------


@contextmanager
def serving(topics: Topics, port: int = 0, **limits: Any) -> Iterator[Server]:
    limits = {"drain_grace": 0.0, **limits}
    with Server([f"tcp://127.0.0.1:{port}"], Actions(topics=topics), **limits) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.drain()
            thread.join()


def target(server: Server) -> str:
    return f"127.0.0.1:{server.addresses[0].port}"


def client(address: str, **more: Any) -> Client:
    return Client(address, backoff=(0.01, 0.05), **more)


def test_a_program_iterates_over_what_is_published() -> None:
    topics = Topics()
    with serving(topics) as server, client(target(server)) as c:
        with c.subscribe("room", slow="oldest") as subscription:
            for value in range(3):
                c.request_json({"action": "publish", "topic": "room", "value": value})
            for seq, event in enumerate(subscription, 1):
                assert event == Published("room", seq, seq - 1)
                if seq == 3:
                    break
        assert [*subscription] == []


def test_callbacks_hear_while_the_client_waits_for_anything() -> None:
    heard: list[Event] = []
    with serving(Topics()) as server, client(target(server)) as c:
        c.subscribe("t", heard.append)
        c.request_json({"action": "publish", "topic": "t", "value": 1})
        while not heard:
            c.request("ping")
        c.request_json({"action": "publish", "topic": "t", "value": 2})
        while len(heard) < 2:
            c.listen(0.01)
    assert [event.value for event in heard if isinstance(event, Published)] == [1, 2]


def test_over_a_restart_of_the_server_a_gap_of_unknown_size_stands_for_what_nobody_knows() -> None:
    topics, port = Topics(), unused_port()
    with client(f"127.0.0.1:{port}", retry_for=20.0) as c:
        with serving(topics, port):
            subscription = c.subscribe("t")
            topics.publish("t", "old")
            assert subscription.get(20.0) == Published("t", 1, "old")
        restarted = Topics()
        restarted.publish("t", "said before it came back")
        with serving(restarted, port):
            assert subscription.get(20.0) == Gap("t", 1, 0, None)
            assert subscription.get(20.0) == Published("t", 1, "said before it came back")


def covered(events: list[Event]) -> list[int]:
    seqs: list[int] = []
    for event in events:
        if isinstance(event, Gap):
            assert isinstance(event.first, int)
            assert isinstance(event.last, int)
            seqs += range(event.first, event.last + 1)
        else:
            assert isinstance(event.seq, int)
            seqs.append(event.seq)
    return seqs


@pytest.mark.parametrize("history", [100, 3, 0])
def test_the_promise_holds_over_many_lost_connections(history: int) -> None:
    topics = Topics()
    got: list[Event] = []
    with serving(topics, history=history) as server, client(target(server), retry_for=20.0) as c:
        subscription = c.subscribe("t", got.append, slow="oldest", limit=5)
        for value in range(200):
            topics.publish("t", value)
            if value % 20 == 10:
                for message in [*server.connections]:
                    server.loop.call_soon_threadsafe(message.abort, CloseReason.CUT)
            if value % 3 == 0:
                c.refresh()
        while subscription.seq != 200:
            c.listen(0.01)
    assert covered(got) == [*range(1, 201)]


def test_who_refuses_is_raised_and_so_is_nobody_there() -> None:
    topics = Topics(may=lambda session, verb, topic: topic == "open")
    with serving(topics) as server, client(target(server)) as c:
        with pytest.raises(ErrorReply, match="you may not subscribe to closed"):
            c.subscribe("closed")
        assert c.subscribe("open").connected
    with client(f"127.0.0.1:{unused_port()}", retry_for=0.05) as c, pytest.raises(Refused):
        c.subscribe("t")


def test_the_tutorial_s_server_has_no_topics() -> None:
    def tutorial(peer: Caller) -> None:
        peer.reply({"result": f"Error: invalid action '{peer.request()['action']}'."}, connection=None)

    with ScriptedServer(tutorial) as server, client(server.target) as c:
        with pytest.raises(ConnectionFailed, match="has no topics: it answered \"Error: invalid action 'subscribe'"):
            c.subscribe("t")
        assert c.request("x") == "Error: invalid action 'x'."


def test_a_server_without_topics_says_so() -> None:
    with Server(["tcp://127.0.0.1:0"], Actions(), drain_grace=0.0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        with client(target(server)) as c, pytest.raises(ErrorReply, match="invalid action 'subscribe'"):
            c.subscribe("t")
        server.drain()
        thread.join()


def test_a_callback_that_fails_is_raised_where_the_client_waits() -> None:
    def fail(event: Event) -> None:
        raise LookupError(event)

    topics = Topics()
    with serving(topics) as server, client(target(server)) as c:
        c.subscribe("t", fail)
        topics.publish("t", 1)
        with pytest.raises(LookupError):
            c.listen(20.0)
        assert c.request("ping") == "pong"


def test_a_client_that_was_closed_listens_to_nothing() -> None:
    with serving(Topics()) as server:
        c = client(target(server))
        subscription = c.subscribe("t")
        c.close()
        assert subscription.closed
        with pytest.raises(RuntimeError, match="closed"):
            c.listen(1.0)
        with pytest.raises(RuntimeError, match="closed"):
            c.subscribe("t")


def test_a_peer_may_send_events_that_were_not_asked_for() -> None:
    def behave(peer: Caller) -> None:
        peer.request()
        event = json_message({"topic": "other", "seq": 1, "value": 1}, event="message")
        peer.send(event + granting({"topic": "t", "epoch": "e", "seq": 0, "missed": 0}) + event)
        peer.send(json_message({"topic": "t", "seq": 1, "value": "mine"}, event="message"))
        peer.request()

    with ScriptedServer(behave) as server, client(server.target) as c:
        assert c.subscribe("t").get(20.0) == Published("t", 1, "mine")


def test_what_came_behind_the_event_that_a_callback_failed_on_comes_in_the_next_turn(bench: SubscriberBench) -> None:
    def hear(event: Event) -> None:
        bench.heard.append(event)
        if len(bench.heard) == 1:
            raise ValueError("a bug of the program's")

    bench.all.add("t", {"slow": "oldest"}, hear)
    bench.turn()
    bench.subscribed()
    with pytest.raises(ValueError, match="a bug of the program's"):
        bench.publish(1, 2, 3)
    bench.turn()
    assert bench.take() == of(1, 2, 3)
