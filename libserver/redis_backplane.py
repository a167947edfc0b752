"""How do several servers share their topics?

By Redis: a topic is a stream there, to which every server adds what is published to it, and which every server with
subscribers reads. So order, history and recovery are Redis', and `seq` is the stream's id, as text.

    command link    XADD (in a script), XRANGE, XREVRANGE, HGETALL; and CLIENT UNBLOCK for the other one
    reading link    XREAD BLOCK over all topics that have a subscriber here, again and again

Rules:

* Each entry has a number `n` that rises by one: so a server that was away finds out exactly how many entries were
  trimmed meanwhile, and its subscribers get a gap of that size.
* A server that lost Redis reads on from where it was. If Redis has lost the topic (its epoch is another one), a gap of
  unknown size stands for it.
* While Redis is away nothing is queued: publishing fails at once. The log says so once, and once that it is back.
* No name is looked up while the server runs: that would stop the loop.

A stream keeps at least `KEPT` entries, so that a server that is late for a moment misses none.
Not here: subscribers (`libserver.topics`), the connection to Redis (`libserver.redis_link`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from eventloop import Address, Endpoint, EventLoop, Timer
from protocol.push import Gap

from .notices import Notices
from .redis_link import RedisGone, RedisLink

__all__ = ["Entry", "Located", "RedisBackplane", "after", "before", "is_id", "is_later", "parse_backplane"]

#: Entries of a stream that stay at least.
KEPT = 1000
#: Seconds for which Redis may keep an XREAD back; then it is asked again, which shows that it is there.
BLOCK = 5.0
#: Seconds until Redis is tried again: the first pause, and the longest.
PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: Seconds until an XREAD is told again to return that had not come yet.
OVERTAKEN = 0.01
#: Entries of one topic that one XREAD brings.
COUNT = 500

#: Adds an entry. KEYS: stream, epochs, news, numbers. ARGV: topic, epoch if it is new, most entries, value, and the
#: sender if there is one.
_PUBLISH = """
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 1 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*', 't', ARGV[1])
end
local n = redis.call('HINCRBY', KEYS[4], ARGV[1], 1)
if ARGV[5] then
  return redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], '*', 'n', n, 'v', ARGV[4], 'f', ARGV[5])
end
return redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], '*', 'n', n, 'v', ARGV[4])
"""

#: Where a topic stands. KEYS as above. ARGV: topic, epoch if it is new, and an id if what came after it is wanted.
#: Gives its epoch, its last id, its last number, and the entries.
_LOCATE = """
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 1 then
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*', 't', ARGV[1])
end
local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
local entries, first = {}, {}
if ARGV[3] then
  entries = redis.call('XRANGE', KEYS[1], ARGV[3], '+')
end
return {redis.call('HGET', KEYS[2], ARGV[1]), last, redis.call('HGET', KEYS[4], ARGV[1]) or '0', entries}
"""


#: Takes a name, or keeps it. KEYS: the name. ARGV: who, with which connection, for how many seconds. The same one may
#: take it over from a connection of theirs.
_CLAIM = """
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ' then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return 1
"""

#: Keeps a name, unless it is another's by now, or that person's on another connection. KEYS, ARGV: as above.
_KEEP = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return 1
"""

#: Gives a name back, if it is still this connection's. KEYS, ARGV: as above.
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
return 1
"""

#: Seconds that a name is kept for a server that is heard of no more; and how often a server that is there says so.
CLAIM, RENEW = 30, 10.0


class Entry(NamedTuple):
    """One message of a topic: its id, its number, its value as JSON, and who said so."""

    id: str
    number: int
    value: bytes
    sender: str | None


class Located(NamedTuple):
    """Where a topic stands: its epoch, the id and number of its last entry, and the entries from an id on."""

    epoch: str
    last: str
    number: int
    entries: list[Entry]


class Store(Protocol):
    """What hears of entries: `libserver.topics.Topics`."""

    def arrived(self, topic: str, entries: Sequence[Entry | Gap], epoch: str | None) -> None:
        """These came, in order. `epoch`: the topic has begun anew before them."""

    def topic_made(self, topic: str) -> None:
        """A server has made a topic."""


def parse_backplane(text: str) -> tuple[Address, str]:
    """`redis://HOST:PORT[/PREFIX]`. Raises `ValueError` with a sentence."""
    words = f"{text!r}: write redis://HOST:PORT, or redis://HOST:PORT/PREFIX"
    scheme, separator, rest = text.partition("://")
    place, _, prefix = rest.partition("/")
    host, colon, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if scheme != "redis" or not separator or not colon or not host:
        raise ValueError(words)
    if not port.isdecimal() or not 0 < int(port) < 65536 or not port.isascii():
        raise ValueError(words)
    if not all(character.isprintable() for character in prefix):
        raise ValueError(words)
    return Address("tcp", host, int(port)), prefix


# --- ids -------------------------------------------------------------------------------

_MOST = 2**64 - 1


def _id(text: str) -> tuple[int, int]:
    milliseconds, _, number = text.partition("-")
    return int(milliseconds), int(number)


def is_id(text: object) -> bool:
    """Is it the id of a stream's entry, as text?"""
    if not isinstance(text, str) or not text.isascii():
        return False
    parts = text.split("-")
    return len(parts) == 2 and all(part.isdecimal() and len(part) <= 20 and int(part) <= _MOST for part in parts)


def is_later(one: str, other: str) -> bool:
    """Does `one` stand behind `other` in the stream?"""
    return _id(one) > _id(other)


def after(text: str) -> str:
    """The first id behind this one."""
    milliseconds, number = _id(text)
    return f"{milliseconds}-{number + 1}" if number < _MOST else f"{milliseconds + 1}-0"


def before(text: str) -> str:
    """The last id before this one."""
    milliseconds, number = _id(text)
    if number:
        return f"{milliseconds}-{number - 1}"
    return f"{milliseconds - 1}-{_MOST}" if milliseconds else "0-0"


# --- the backplane ---------------------------------------------------------------------


class _Position:
    """How far this server is with a topic. `number` is None where nothing was read of it yet."""

    __slots__ = ("epoch", "id", "number")

    def __init__(self, epoch: str, id: str, number: int) -> None:
        self.epoch = epoch
        self.id = id
        self.number = number


class RedisBackplane:
    """Topics in Redis. `prefix` begins every key, so that several applications may share one Redis.

    `endpoints` is where Redis is. `new_epoch` makes the word for an epoch. Attach it to a loop before it is used.
    """

    def __init__(
        self,
        endpoints: list[Endpoint],
        prefix: str = "multiconn",
        new_epoch: Callable[[], str] = lambda: os.urandom(6).hex(),
        timeout: float = 5.0,
    ) -> None:
        self._endpoints = endpoints
        self._prefix = prefix.encode() + b":" if prefix else b""
        self._new_epoch = new_epoch
        self._timeout = timeout
        self._positions: dict[str, _Position] = {}
        self._news = ""  # the last of them that is known
        self._follows_news = False
        self._wanted = False
        self._ready = False
        self._reading = False
        self._reads = 0  # XREADs that were sent
        self._reader_id = b""
        self._shas: dict[str, bytes] = {}
        self._failures = 0
        self._retry: Timer | None = None
        self._claims: dict[str, tuple[str, str]] = {}  # by name: who, with which connection
        self._renewal: Timer | None = None
        self._told_away = False

    def attach(self, loop: EventLoop, store: Store, notices: Notices, history: int) -> None:
        """Connect, and hand what comes to `store`. A stream keeps `history` entries, and `KEPT` at least."""
        self._loop = loop
        self._store = store
        self._notices = notices
        self._kept = max(KEPT, history)
        self._wanted = True
        self._commands = RedisLink(loop, self._endpoints, self._commands_opened, self._lost, self._timeout)
        self._reader = RedisLink(loop, self._endpoints, self._reader_opened, self._lost, self._timeout)
        self._connect()

    def detach(self) -> None:
        """The server closes."""
        self._wanted = self._ready = False
        for timer in (self._retry, self._renewal):
            if timer is not None:
                timer.cancel()
        self._commands.close()
        self._reader.close()

    @property
    def available(self) -> bool:
        """Can something be published now?"""
        return self._ready and self._commands.has_room

    # --- connecting ------------------------------------------------------------------------

    def _connect(self) -> None:
        self._retry = None
        self._commands.connect()
        self._reader.connect()

    def _commands_opened(self) -> None:
        for script in (_PUBLISH, _LOCATE):
            self._commands.send((b"SCRIPT", b"LOAD", script.encode()), partial(self._loaded, script))

    def _loaded(self, script: str, sha: Any, error: Exception | None) -> None:
        if sha is not None:
            self._shas[script] = sha
            self._begin_if_both()
        else:
            self._refused(self._commands, error)

    def _reader_opened(self) -> None:
        def known(reply: Any, error: Exception | None) -> None:
            if error is None:
                self._reader_id = b"%d" % reply
                self._begin_if_both()
            else:
                self._refused(self._reader, error)

        self._reader.send((b"CLIENT", b"ID"), known)

    def _refused(self, link: RedisLink, error: Exception | None) -> None:
        """An error reply to a link's first command: it is loading what it had, or asks for a password. Try again."""
        if error is not None and link.connected:  # else the link has ended, and `_lost` hears of that
            self._lost(error)

    def _begin_if_both(self) -> None:
        """Both links are open: find out what was missed, and read on."""
        if self._ready or not (len(self._shas) == 2 and self._reader_id):
            return
        self._ready = True
        self._failures = 0
        if self._told_away:
            self._told_away = False
            self._notices.tell("backplane-back", "Redis is back: topics go on where they were")
        # Their replies come in order: with the last of them all is known.
        for topic, position in self._positions.items():
            self._locate(topic, None, partial(self._found_again, topic, position))
        self._renew()
        if self._follows_news:  # topics that were made meanwhile
            self._names(lambda names, error: [*map(self._store.topic_made, names or ())])
        self._commands.send((b"PING",), lambda reply, error: self._read())

    def _found_again(self, topic: str, was: _Position, found: Located | None, error: Exception | None) -> None:
        if found is not None and self._positions.get(topic) is was and found.epoch != was.epoch:
            self._begun_anew(topic, was, found)

    def _begun_anew(self, topic: str, position: _Position, found: Located) -> None:
        """Redis has lost the topic: nobody knows what its end was, and all of the new one is read."""
        position.epoch, position.id, position.number = found.epoch, "0-0", 0
        self._store.arrived(topic, [Gap(topic, "0-1", "0-1", None)], found.epoch)

    def _lost(self, error: Exception) -> None:
        """One link has ended: both begin anew."""
        self._ready = self._reading = False
        self._shas.clear()
        self._reader_id = b""
        self._commands.close()
        self._reader.close()
        if not self._wanted or self._retry is not None:
            return
        if not self._told_away:
            self._told_away = True
            text = "Redis is away (%s): publishing fails until it is back; connections live on"
            self._notices.tell("backplane-away", text, error)
        pause = min(LONGEST_PAUSE, PAUSE * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._retry = self._loop.call_later(pause, self._connect)

    # --- commands --------------------------------------------------------------------------

    def _key(self, topic: str) -> bytes:
        return self._prefix + b"t:" + topic.encode("utf-8", "surrogatepass")

    def _script(self, script: str, topic: str, *arguments: bytes) -> tuple[bytes, ...]:
        keys = (self._key(topic), self._prefix + b"epochs", self._prefix + b"news", self._prefix + b"numbers")
        name = topic.encode("utf-8", "surrogatepass")
        return (b"EVALSHA", self._shas[script], b"4", *keys, name, self._new_epoch().encode(), *arguments)

    def _check(self) -> None:
        if not self.available:
            raise RedisGone("Redis is away")

    def publish(
        self, topic: str, value: bytes, sender: str | None, done: Callable[[str | None, Exception | None], object]
    ) -> None:
        """Add a message: `done(id, None)`, or `done(None, error)`. Raises `RedisGone` at once if Redis is away."""
        self._check()
        arguments = [b"%d" % self._kept, value]
        if sender is not None:
            arguments.append(sender.encode("utf-8", "surrogatepass"))

        def added(reply: Any, error: Exception | None) -> None:
            done(reply.decode() if error is None else None, error)

        self._commands.send(self._script(_PUBLISH, topic, *arguments), added)

    def locate(self, topic: str, since: str | None, done: Callable[[Located | None, Exception | None], object]) -> None:
        """Where a topic stands, made if there is none; with `since` also the entries from that id on.

        Raises as `publish`.
        """
        self._check()
        self._locate(topic, since, done)

    def _locate(
        self, topic: str, since: str | None, done: Callable[[Located | None, Exception | None], object]
    ) -> None:
        """Of our own accord: it waits for room. Where nothing more is asked than there are topics that is bounded."""

        def found(reply: Any, error: Exception | None) -> None:
            if error is not None:
                done(None, error)
                return
            epoch, last, number, entries = reply
            done(Located(epoch.decode(), last.decode(), int(number), [*map(_entry, entries)]), None)

        arguments = () if since is None else (since.encode(),)
        self._commands.send(self._script(_LOCATE, topic, *arguments), found)

    def history(self, topic: str, limit: int, done: Callable[[list[Entry] | None, Exception | None], object]) -> None:
        """The last entries, the oldest first. Raises as `publish`."""
        self._check()

        def found(reply: Any, error: Exception | None) -> None:
            done(None if error is not None else [*map(_entry, reversed(reply))], error)

        self._commands.send((b"XREVRANGE", self._key(topic), b"+", b"-", b"COUNT", b"%d" % limit), found)

    def names(self, done: Callable[[list[str] | None, Exception | None], object]) -> None:
        """All topics that there are. Raises as `publish`."""
        self._check()
        self._names(done)

    def _names(self, done: Callable[[list[str] | None, Exception | None], object]) -> None:
        def found(reply: Any, error: Exception | None) -> None:
            done(None if error is not None else [_text(name) for name in reply], error)

        self._commands.send((b"HKEYS", self._prefix + b"epochs"), found)

    # --- names that one has, on all servers ------------------------------------------------

    def _claim_command(self, script: str, name: str, who: str, connection: str) -> tuple[bytes, ...]:
        key = self._prefix + b"claim:" + name.encode("utf-8", "surrogatepass")
        return (b"EVAL", script.encode(), b"1", key, who.encode(), connection.encode(), b"%d" % CLAIM)

    def claim(self, name: str, who: str, connection: str, done: Callable[[bool, Exception | None], object]) -> None:
        """Take a name for as long as this server is there, or until `release`: `done(taken, error)`.

        `who` has it from then on, with this connection; they may take it over from another one. Raises as `publish`.
        """
        self._check()

        def answered(reply: Any, error: Exception | None) -> None:
            if reply == 1:
                self._claims[name] = who, connection
                if self._renewal is None:
                    self._renewal = self._loop.call_later(RENEW, self._renew_again)
            done(reply == 1, error)

        self._commands.send(self._claim_command(_CLAIM, name, who, connection), answered)

    def release(self, name: str, who: str, connection: str, done: Callable[[bool, Exception | None], object]) -> None:
        """Give it back: `done(was_ours, error)`. Raises as `publish`; then it is free when its time is over."""
        if self._claims.get(name) == (who, connection):
            del self._claims[name]
        self._check()
        command = self._claim_command(_RELEASE, name, who, connection)
        self._commands.send(command, lambda reply, error: done(reply == 1, error))

    def claimed_by(self, name: str, done: Callable[[str | None, Exception | None], object]) -> None:
        """Who has it: `done(who, error)`. Raises as `publish`."""
        self._check()

        def answered(reply: Any, error: Exception | None) -> None:
            done(None if reply is None else reply.decode().partition(" ")[0], error)

        key = self._prefix + b"claim:" + name.encode("utf-8", "surrogatepass")
        self._commands.send((b"GET", key), answered)

    def _renew_again(self) -> None:
        self._renewal = self._loop.call_later(RENEW, self._renew_again) if self._claims else None
        self._renew()

    def _renew(self) -> None:
        for name, (who, connection) in self._claims.items() if self.available else ():
            command = self._claim_command(_KEEP, name, who, connection)
            self._commands.send(command, partial(self._kept_name, name, (who, connection)))

    def _kept_name(self, name: str, ours: tuple[str, str], reply: Any, error: Exception | None) -> None:
        if reply == 0 and self._claims.get(name) == ours:
            del self._claims[name]  # they are at another server, which keeps it now

    # --- reading ---------------------------------------------------------------------------

    def follow(self, topic: str, epoch: str, id: str, number: int) -> None:
        """Hand over what comes behind this entry."""
        self._positions[topic] = _Position(epoch, id, number)
        self._ask_anew()

    def unfollow(self, topic: str) -> None:
        """Nobody listens to it here any more."""
        self._positions.pop(topic, None)

    def position(self, topic: str) -> tuple[str, str] | None:
        """The epoch, and the id of the last entry that was handed over, of a topic that is followed."""
        position = self._positions.get(topic)
        return None if position is None else (position.epoch, position.id)

    def follow_news(self) -> None:
        """Hand over the names of topics that are made from now on."""
        if self._follows_news:
            return
        self._follows_news = True

        def last(reply: Any, error: Exception | None) -> None:
            if error is None:
                self._news = reply[0][0].decode() if reply else "0-0"
                self._ask_anew()
            else:
                self._follows_news = False  # who asked for it is refused, and asks again

        self._commands.send((b"XREVRANGE", self._prefix + b"news", b"+", b"-", b"COUNT", b"1"), last)

    def _ask_anew(self) -> None:
        """What is read has changed: have the XREAD that waits return."""
        if self._reading:
            self._unblock(self._reads)
        elif self._ready:
            self._read()

    def _unblock(self, read: int) -> None:
        """Unless the XREAD of that number has returned by itself."""

        def unblocked(reply: Any, error: Exception | None) -> None:
            if reply == 0:  # nothing waits: this came by another connection, and may have overtaken the XREAD
                self._loop.call_later(OVERTAKEN, self._unblock, read)

        if self._reading and self._reads == read and self._commands.connected:
            self._commands.send((b"CLIENT", b"UNBLOCK", self._reader_id), unblocked)

    def _read(self) -> None:
        if self._reading or not self._ready or not (self._positions or self._news):
            return
        self._reading = True
        self._reads += 1
        keys = [self._key(topic) for topic in self._positions]
        ids = [position.id.encode() for position in self._positions.values()]
        if self._news:
            keys.append(self._prefix + b"news")
            ids.append(self._news.encode())
        command = (b"XREAD", b"COUNT", b"%d" % COUNT, b"BLOCK", b"%d" % (BLOCK * 1000), b"STREAMS", *keys, *ids)
        self._reader.send(command, self._came, BLOCK)

    def _came(self, reply: Any, error: Exception | None) -> None:
        self._reading = False
        if error is not None:
            if self._reader.connected:  # an error reply: it can't be read, and would not be the next time
                self._lost(error)
            return
        for key, entries in reply or ():
            if key == self._prefix + b"news":
                for id, fields in entries:
                    self._news = id.decode()
                    self._store.topic_made(_text(fields[1]))
            else:
                self._entries_came(_text(key[len(self._prefix) + 2 :]), map(_entry, entries))
        self._read()

    def _entries_came(self, topic: str, entries: Iterable[Entry]) -> None:
        position = self._positions.get(topic)
        if position is None:
            return  # it was unfollowed while the XREAD waited
        found: list[Entry | Gap] = []
        for entry in entries:
            if not is_later(entry.id, position.id):
                continue  # asked for before it was unfollowed: it is followed again from behind that
            missing = entry.number - position.number - 1
            if missing > 0:
                found.append(Gap(topic, after(position.id), before(entry.id), missing))
            elif missing < 0:  # Redis was emptied, and the topic has begun anew: which epoch that is, it will say
                found.append(Gap(topic, after(position.id), before(entry.id), None))
                self._locate(topic, None, partial(self._take_epoch, topic))
            position.id, position.number = entry.id, entry.number
            found.append(entry)
        self._store.arrived(topic, found, None)

    def _take_epoch(self, topic: str, found: Located | None, error: Exception | None) -> None:
        if found is not None and (position := self._positions.get(topic)) is not None:
            position.epoch = found.epoch
            self._store.arrived(topic, [], found.epoch)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def _entry(raw: Any) -> Entry:
    id, fields = raw
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    sender = named.get(b"f")
    return Entry(id.decode(), int(named[b"n"]), named[b"v"], None if sender is None else _text(sender))
