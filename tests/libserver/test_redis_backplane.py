"""Tests of topics that several servers share: with a real redis-server, which is stopped, emptied, trimmed and cut."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventloop import EventLoop
from libclient import Client, ErrorReply, Gap, Published
from libserver import Actions, Server, Topics, add_chat, redis_backplane
from libserver.redis_backplane import RedisBackplane, after, before, is_id, is_later, parse_backplane
from libserver.redis_link import RedisGone
from tests.support.peer import PATIENCE
from tests.support.redis import Redis, redis_here
from tests.support.server import caught

# --- addresses and ids ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port", "prefix"),
    [
        ("redis://127.0.0.1:6379", "127.0.0.1", 6379, ""),
        ("redis://redis.example:6379/chat", "redis.example", 6379, "chat"),
        ("redis://[::1]:7000/a/b", "::1", 7000, "a/b"),
    ],
)
def test_a_backplane_is_a_host_a_port_and_a_prefix(text: str, host: str, port: int, prefix: str) -> None:
    address, found = parse_backplane(text)
    assert (address.host, address.port, found) == (host, port, prefix)


@pytest.mark.parametrize(
    "text",
    [
        *("", "redis://", "redis://host", "redis://host:", "redis://host:x", "redis://host:0", "redis://host:65536"),
        *("127.0.0.1:6379", "rediss://host:6379", "redis://:6379", "redis://host:6379/a\x1bb", "redis://host:\u0661"),
    ],
)
def test_what_is_no_backplane_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write redis://HOST:PORT"):
        parse_backplane(text)


def test_ids_are_ordered_as_redis_orders_them() -> None:
    ids = ["0-0", "0-1", "9-0", "9-18446744073709551615", "10-0", "1700000000000-3"]
    for at, one in enumerate(ids):
        assert is_id(one)
        assert [is_later(one, other) for other in ids] == [at > number for number in range(len(ids))]


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "a-1", "1-1-1", "1-\u0661", "1-18446744073709551616", 7, None])
def test_what_is_no_id(text: object) -> None:
    assert not is_id(text)


def test_the_ids_beside_an_id() -> None:
    assert (after("5-0"), before("5-1")) == ("5-1", "5-0")
    assert (after("5-18446744073709551615"), before("6-0")) == ("6-0", "5-18446744073709551615")
    assert before("0-0") == "0-0"


# --- several servers ------------------------------------------------------------------------------


class Site:
    """Servers with one Redis behind them, and clients of theirs."""

    def __init__(self, redis: Redis, stack: ExitStack) -> None:
        self.redis = redis
        self._stack = stack

    def server(self, **limits: Any) -> Server:
        server = self._stack.enter_context(serving(self.redis, **limits))
        topics = server.topics
        assert topics is not None
        wait_for(lambda: topics._backplane.available)  # type: ignore[union-attr]
        return server

    def client(self, server: Server, **more: Any) -> Client:
        client = Client(f"127.0.0.1:{server.addresses[0].port}", backoff=(0.01, 0.05), retry_for=PATIENCE, **more)
        return self._stack.enter_context(client)


def wait_for(done: Callable[[], object]) -> None:
    waits = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if done():
            return
        waits.wait(0.02)
    raise AssertionError("it did not happen")


@contextmanager
def serving(redis: Redis, chat: bool = False, **limits: Any) -> Iterator[Server]:
    topics = Topics(backplane=RedisBackplane(redis.endpoints, "test", timeout=2.0))
    actions = Actions(topics=topics)
    if chat:
        add_chat(actions)
    limits = {"drain_grace": 0.0, **limits}
    with Server(["tcp://127.0.0.1:0"], actions, **limits) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.drain()
            thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with redis_here(tmp_path) as redis, caught(), ExitStack() as stack:
        yield Site(redis, stack)


def publish(client: Client, *values: object, topic: str = "t") -> list[str]:
    asked = [{"action": "publish", "topic": topic, "value": value} for value in values]
    return [client.request_json(one)["result"]["seq"] for one in asked]


def was_published(client: Client, value: object) -> bool:
    """False if Redis was away, or went; then it may have been, all the same."""
    try:
        publish(client, value)
    except ErrorReply as error:
        if error.code != "unavailable":
            raise
        return False
    return True


def values(subscription: Any, count: int) -> list[object]:
    events = [subscription.get(PATIENCE) for _ in range(count)]
    assert all(isinstance(event, Published) for event in events), events
    return [event.value for event in events]


def test_what_is_published_on_one_server_reaches_the_subscribers_of_all_in_one_order(site: Site) -> None:
    a, b = site.client(site.server()), site.client(site.server())
    heard_a, heard_b = a.subscribe("t"), b.subscribe("t")
    for number in range(20):
        publish(a, f"a{number}")
        publish(b, f"b{number}")
    got = values(heard_a, 40)
    assert got == values(heard_b, 40)
    assert [one for one in got if str(one).startswith("a")] == [f"a{number}" for number in range(20)]
    assert isinstance(heard_a.seq, str)


def test_history_and_since_are_those_of_all_servers(site: Site) -> None:
    a = site.client(site.server())
    seqs = publish(a, 1, 2, 3)
    b = site.client(site.server())
    history = b.request_json({"action": "history", "topic": "t", "limit": 2})["result"]
    assert [(one["seq"], one["value"]) for one in history["messages"]] == [*zip(seqs[1:], (2, 3), strict=True)]
    assert history["seq"] == seqs[-1]
    assert b.request_json({"action": "history", "topic": "t", "limit": 0})["result"]["messages"] == []
    subscription = b.subscribe("t", since=(history["epoch"], seqs[0]))
    assert values(subscription, 2) == [2, 3]
    publish(a, 4)
    assert values(subscription, 1) == [4]


def test_one_that_has_seen_more_at_another_server_gets_nothing_twice(site: Site) -> None:
    """The other server reads on only when it is let go on: until then it is behind."""
    one, other = site.server(), site.server()
    a, b = site.client(one), site.client(other)
    first = b.subscribe("t")
    second = a.subscribe("t")
    publish(a, 1)
    assert values(first, 1) == values(second, 1) == [1]
    held, go_on = threading.Event(), threading.Event()
    other.loop.call_soon_threadsafe(lambda: (held.set(), go_on.wait(PATIENCE)))
    assert held.wait(PATIENCE)
    publish(a, 2, 3)
    assert values(second, 2) == [2, 3]
    late = site.client(other)
    asked = threading.Timer(0.05, go_on.set)
    asked.start()
    third = late.subscribe("t", since=(second.epoch or "", second.seq or ""))
    publish(a, 4)
    assert values(third, 1) == [4]
    assert values(first, 3) == [2, 3, 4]
    asked.join()


def test_a_pattern_takes_topics_that_any_server_makes(site: Site) -> None:
    a, b = site.client(site.server()), site.client(site.server())
    publish(a, "before", topic="room/old")
    subscription = b.subscribe("room/*")
    publish(a, 1, topic="room/old")
    publish(a, 2, topic="room/new")
    publish(a, 3, topic="room/deep/er")
    publish(a, 4, topic="room/new")
    events = [subscription.get(PATIENCE) for _ in range(3)]
    assert sorted((event.topic, event.value) for event in events if isinstance(event, Published)) == [
        ("room/new", 2),
        ("room/new", 4),
        ("room/old", 1),
    ]


def test_when_the_last_subscriber_has_gone_the_topic_is_not_followed(site: Site) -> None:
    server = site.server()
    a = site.client(server)
    topics = server.topics
    assert topics is not None
    backplane = topics._backplane
    assert backplane is not None
    with a.subscribe("t"):
        assert backplane.position("t") is not None
    wait_for(lambda: backplane.position("t") is None)


def test_what_is_refused_is_refused_at_once(site: Site) -> None:
    a = site.client(site.server())
    for fields in ({"topic": "a\nb", "value": 1}, {"topic": "t"}, {"topic": 7, "value": 1}):
        with pytest.raises(ErrorReply) as caught_:
            a.request_json({"action": "publish", **fields})
        assert caught_.value.code == "bad-request"
    with pytest.raises(ErrorReply, match="`since` is"):
        a.subscribe("t", since=("e", 7))


# --- Redis is away --------------------------------------------------------------------------------


def test_while_redis_is_away_publishing_fails_at_once_and_everything_else_goes_on(site: Site) -> None:
    server = site.server()
    a = site.client(server)
    subscription = a.subscribe("t")
    publish(a, "before")
    site.redis.stop()
    topics = server.topics
    assert topics is not None
    wait_for(lambda: not topics._backplane.available)  # type: ignore[union-attr]
    for action in ("publish", "history"):
        with pytest.raises(ErrorReply) as caught_:
            a.request_json({"action": action, "topic": "t", "value": 1})
        assert caught_.value.code == "unavailable"
    assert a.request("ping") == "pong"
    site.redis.start()
    wait_for(lambda: topics._backplane.available)  # type: ignore[union-attr]
    publish(a, "after")
    assert values(subscription, 2) == ["before", "after"]


def test_a_server_that_starts_without_redis_serves_all_the_same_and_subscribes_when_it_is_there(site: Site) -> None:
    site.redis.stop()
    with serving(site.redis) as server:
        a = site.client(server)
        assert a.request("ping") == "pong"
        timer = threading.Timer(0.3, site.redis.start)
        timer.start()
        subscription = a.subscribe("t")
        timer.join()
        publish(a, 1)
        assert values(subscription, 1) == [1]


def test_over_a_cut_in_the_middle_nothing_is_lost(site: Site) -> None:
    server, other = site.server(), site.server()
    a, b = site.client(server), site.client(other)
    subscription = a.subscribe("t")
    sent = 0
    for number in range(60):
        sent += was_published(b, number)
        if number % 10 == 5:
            site.redis.cut_clients()
    wait_for(lambda: was_published(b, "last"))
    got: list[object] = []
    while not got or got[-1] != "last":
        got += values(subscription, 1)
    numbers = [one for one in got if isinstance(one, int)]
    assert numbers == sorted(set(numbers)), "once, and in order"
    assert len(numbers) >= sent, "one that was not acknowledged may have been published"


def test_what_was_trimmed_while_a_server_was_away_is_a_gap_of_that_size(site: Site) -> None:
    reader = site.server()
    writer = site.server()
    a, b = site.client(reader), site.client(writer)
    subscription = a.subscribe("t")
    publish(b, "seen")
    assert values(subscription, 1) == ["seen"]
    held, go_on = threading.Event(), threading.Event()
    reader.loop.call_soon_threadsafe(lambda: (held.set(), go_on.wait(PATIENCE)))
    assert held.wait(PATIENCE)
    site.redis.cut_clients()
    wait_for(lambda: was_published(b, 0))
    publish(b, *range(1, 10))
    assert site.redis.do("XTRIM", "test:t:t", "MAXLEN", 4).startswith(b":")
    go_on.set()
    gap = subscription.get(PATIENCE)
    assert isinstance(gap, Gap)
    assert gap.dropped == 6
    assert values(subscription, 4) == [6, 7, 8, 9]


def test_a_redis_that_comes_back_empty_begins_a_new_epoch_with_a_gap_that_nobody_can_size(site: Site) -> None:
    server = site.server()
    a = site.client(server)
    subscription = a.subscribe("t")
    publish(a, "before")
    assert values(subscription, 1) == ["before"]
    epoch = subscription.epoch
    site.redis.stop(forget=True)
    site.redis.start()
    topics = server.topics
    assert topics is not None
    wait_for(lambda: topics._backplane.available)  # type: ignore[union-attr]
    publish(a, "after")
    gap = subscription.get(PATIENCE)
    assert isinstance(gap, Gap)
    assert gap.dropped is None
    assert values(subscription, 1) == ["after"]
    history = a.request_json({"action": "history", "topic": "t"})["result"]
    assert history["epoch"] != epoch
    assert [one["value"] for one in history["messages"]] == ["after"]


def test_a_redis_that_is_emptied_while_it_runs_is_found_out(site: Site) -> None:
    a = site.client(site.server())
    subscription = a.subscribe("t")
    publish(a, 1, 2)
    assert values(subscription, 2) == [1, 2]
    # The ids of a new stream begin with the time: within the same millisecond they would not come behind the old ones.
    wait_for(lambda: site.redis.milliseconds() > int(str(subscription.seq).partition("-")[0]))
    assert site.redis.do("FLUSHALL").startswith(b"+OK")
    publish(a, "new")
    gap = subscription.get(PATIENCE)
    assert isinstance(gap, Gap)
    assert gap.dropped is None
    assert values(subscription, 1) == ["new"]


def test_the_log_says_once_that_redis_is_away_and_once_that_it_is_back(tmp_path: Path) -> None:
    with redis_here(tmp_path) as redis, caught() as log, serving(redis) as server:
        topics = server.topics
        assert topics is not None
        wait_for(lambda: topics._backplane.available)  # type: ignore[union-attr]
        redis.stop()
        wait_for(lambda: not topics._backplane.available)  # type: ignore[union-attr]
        threading.Event().wait(1.0)  # several attempts
        redis.start()
        wait_for(lambda: topics._backplane.available)  # type: ignore[union-attr]
    texts = [text.split(" ", 3)[:3] for text in log.texts() if "Redis" in text]
    assert texts == [["Redis", "is", "away"], ["Redis", "is", "back:"]]


# --- on links of which the test plays Redis ---------------------------------------------------------


class PlayedLink:
    """A connection to a Redis whose replies the test gives, each to the oldest command."""

    def __init__(self, loop: EventLoop, endpoints: Any, opened: Any, lost: Any, timeout: float) -> None:
        self._opened = opened
        self.connected = False
        self.has_room = True
        self.sent: list[tuple[tuple[bytes, ...], Any]] = []

    def connect(self) -> None:
        self.connected = True
        self._opened()

    def close(self) -> None:
        self.connected = False
        sent, self.sent = self.sent, []
        for _, done in sent:
            done(None, RedisGone("it was closed"))

    def send(self, command: tuple[bytes, ...], done: Any, patience: float = 0.0) -> None:
        assert self.connected
        self.sent.append((command, done))

    def reply(self, *replies: Any) -> None:
        for reply in replies:
            _, done = self.sent.pop(0)
            done(*((None, reply) if isinstance(reply, Exception) else (reply, None)))

    def words(self) -> list[bytes]:
        return [command[0] for command, _ in self.sent]


class Played:
    """A backplane on two such links; it notes what it hears of topics, and what it tells the log."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.heard: list[Any] = []
        self.made: list[str] = []
        self.told: list[str] = []
        self.backplane = RedisBackplane([], "p", new_epoch=lambda: "e")
        self.backplane.attach(self.loop, self, self, 100)  # type: ignore[arg-type]
        self.commands: PlayedLink = self.backplane._commands  # type: ignore[assignment]
        self.reader: PlayedLink = self.backplane._reader  # type: ignore[assignment]

    def arrived(self, topic: str, entries: Any, epoch: str | None) -> None:
        self.heard += entries

    def topic_made(self, topic: str) -> None:
        self.made.append(topic)

    def tell(self, key: str, text: str, *arguments: object) -> None:
        self.told.append(key)

    def begin(self) -> None:
        self.commands.reply(b"sha1", b"sha2")
        self.reader.reply(7)
        assert self.backplane.available

    def again(self) -> None:
        """Both links end, and others are opened."""
        self.backplane._lost(RedisGone("it went"))
        self.loop.run_once(1.0)
        assert self.commands.connected
        assert self.reader.connected


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    monkeypatch.setattr(redis_backplane, "RedisLink", PlayedLink)
    played = Played()
    yield played
    played.backplane.detach()
    played.loop.close()


def raw(number: int) -> list[Any]:
    """An entry as Redis gives it."""
    return [b"%d-0" % number, [b"n", b"%d" % number, b"v", b"1"]]


@pytest.mark.parametrize("refuses", ["commands", "reader"])
def test_a_redis_that_refuses_at_first_is_tried_again_and_the_log_says_so(played: Played, refuses: str) -> None:
    error = ValueError("LOADING Redis is loading the dataset in memory")
    getattr(played, refuses).reply(error)
    assert played.told == ["backplane-away"]
    played.loop.run_once(1.0)
    played.begin()
    assert played.told == ["backplane-away", "backplane-back"]


def test_all_topics_are_asked_about_again_though_redis_reads_slowly(played: Played) -> None:
    played.begin()
    for number in range(3):
        played.backplane.follow(f"t{number}", "e", "1-0", 1)
    played.again()
    played.commands.has_room = False
    played.commands.reply(b"sha1", b"sha2")
    played.reader.reply(7)
    assert played.commands.words() == [b"EVALSHA"] * 3 + [b"PING"]


def test_what_was_read_before_a_topic_was_followed_anew_is_not_handed_over_again(played: Played) -> None:
    played.begin()
    played.backplane.follow("t", "e", "5-0", 5)
    played.commands.reply(b"PONG")
    assert played.reader.words() == [b"XREAD"]
    played.backplane.unfollow("t")
    played.backplane.follow("t", "e", "7-0", 7)  # two were published meanwhile, which the XREAD brings
    played.reader.reply([[b"p:t:t", [raw(6), raw(7), raw(8)]]])
    assert [entry.id for entry in played.heard] == ["8-0"]


def test_where_news_could_not_be_asked_for_the_next_pattern_asks_again(played: Played) -> None:
    played.begin()
    played.backplane.follow_news()
    played.again()
    played.begin()
    played.backplane.follow_news()
    assert b"XREVRANGE" in played.commands.words()


def test_an_xread_that_was_overtaken_is_told_again_to_return(played: Played) -> None:
    played.begin()
    played.backplane.follow("t", "e", "1-0", 1)
    played.commands.reply(b"PONG")
    played.backplane.follow("u", "e", "1-0", 1)
    assert played.commands.words() == [b"CLIENT"]
    played.commands.reply(0)
    played.loop.run_once(1.0)
    assert played.commands.words() == [b"CLIENT"], "else u would not be heard of for as long as that waits"
    played.commands.reply(1)
    played.reader.reply(None)
    assert played.reader.sent[0][0][-4:] == (b"p:t:t", b"p:t:u", b"1-0", b"1-0")
    played.loop.run_once(0)
    assert played.commands.words() == []
