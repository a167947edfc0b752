"""Does a server with topics answer their six actions rightly, and refuse what is none of theirs?

The part is optional: where the server answers all six `unknown-action`, its cases are UNIMPLEMENTED.
Not here: what subscribers are sent (`server_events`), what was missed (`server_since`), slow readers
(`server_slow_readers`).
"""

from __future__ import annotations

from typing import Any

from .case import SOON, TOPICS, Failed, case, each
from .peer import Peer
from .targets import PARTS, ServerRun
from .topics import Listener, call, done, fresh, granted, publish, published
from .wire import ABSENT, KEEP, Reply, search, shown

ACTIONS = "push.md: Actions"
NAMES = "push.md: Actions: a topic's name"
PATTERNS = "push.md: Actions: a/* and a/**"


def expect(got: object, wanted: object) -> None:
    if got != wanted or type(got) is not type(wanted):
        raise Failed(shown(wanted), shown(got))


def counted(run: ServerRun, peer: Peer, topic: str, count: int) -> None:
    """`members` says so many, soon: a server may see a connection's end later than we do."""
    said: list[object] = []

    def holds() -> bool:
        said[:] = [done(peer, "members", topic)]
        return isinstance(said[0], dict) and said[0].get("count") == count

    if not run.until(holds, SOON):
        raise Failed(f"{count} members", shown(said[0]))


# --- the six ------------------------------------------------------------------------------------


@case(
    "TO1",
    "the six actions of topics",
    part=TOPICS,
    mechanism="topics' actions",
    section=ACTIONS,
    expected="all of them are known",
)
def all_six(run: ServerRun) -> None:
    unknown = [name for name in PARTS[TOPICS] if not run.target.knows(name)]
    if unknown:
        raise Failed("all six actions, or none", f"unknown-action to {', '.join(unknown)}")


@case(
    "TO2",
    "subscribes to a topic that has had three messages",
    part=TOPICS,
    mechanism="subscribe",
    section=ACTIONS,
    expected='{"topic", "epoch", "seq": 3, "missed": 0}, and the id',
)
def subscribes(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    publish(peer, topic, "a", "b", "c")
    listener = run.kept()
    listener.send(call("subscribe", topic, header={"id": "its id"}))
    answer = listener.reply()
    expect(answer.header.get("id"), "its id")
    result = answer.result
    if answer.code or not isinstance(result, dict) or not isinstance(result.get("epoch"), str):
        raise Failed('{"topic", "epoch", "seq", "missed"}', str(answer))
    expect({name: result.get(name) for name in ("topic", "seq", "missed")}, {"topic": topic, "seq": 3, "missed": 0})


@case(
    "TO2.2",
    "two subscribe to one topic",
    part=TOPICS,
    mechanism="epoch",
    section=ACTIONS,
    expected="the same epoch and seq for both",
)
def same_epoch(run: ServerRun) -> None:
    topic = fresh(run)
    one, other = Listener(run, topic), Listener(run, topic)
    expect(other.begun, one.begun)


@case(
    "TO3",
    "publishes to a topic with none, one and two subscribers, and after they have gone",
    part=TOPICS,
    mechanism="publish",
    section=ACTIONS,
    expected="seq rises by one from 1, and subscribers says how many there are",
)
def publishes(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()

    def says(seq: int, subscribers: int) -> None:
        speaker.send(call("publish", topic, value=seq))
        expect(published(speaker), {"seq": seq, "subscribers": subscribers})

    says(1, 0)
    first = Listener(run, topic)
    says(2, 1)
    second = Listener(run, topic)
    says(3, 2)
    first.hears(2, 3)
    done(first.peer, "unsubscribe", topic)
    says(4, 1)
    second.peer.close()
    counted(run, speaker, topic, 0)
    says(5, 0)


@case(
    "TO4",
    "unsubscribes between two messages, all in one segment",
    part=TOPICS,
    mechanism="unsubscribe",
    section=ACTIONS,
    expected='{"topic"}; no event follows that reply',
)
def unsubscribes(run: ServerRun) -> None:
    topic = fresh(run)
    listener, other = Listener(run, topic), Listener(run, topic)
    peer = listener.peer
    requests = call("publish", topic, value=1), call("unsubscribe", topic), call("publish", topic, value=2)
    peer.send(b"".join(requests))
    replies: list[Reply] = []
    while len(replies) < 3:
        came = peer.next_message(what=f"reply {len(replies) + 1} of 3")
        if not came.is_event:
            replies.append(came)
        elif len(replies) > 1:
            raise Failed("no event behind the reply to unsubscribe", str(came))
    expect(replies[1].result, {"topic": topic})
    listener.hears_no_more()
    other.hears(1, 2)


@case(
    "TO4.2",
    "unsubscribes, then others publish",
    part=TOPICS,
    mechanism="unsubscribe",
    section=ACTIONS,
    expected="no event follows the reply",
)
def hears_no_more(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    listener = Listener(run, topic)
    publish(speaker, topic, "before")
    listener.hears("before")
    expect(done(listener.peer, "unsubscribe", topic), {"topic": topic})
    publish(speaker, topic, "behind")
    listener.hears_no_more()
    counted(run, speaker, topic, 0)


@case(
    "TO4.3",
    "unsubscribes from what it has no subscription to",
    part=TOPICS,
    mechanism="unsubscribe",
    section=ACTIONS,
    expected="bad-request; the connection is usable",
)
def nothing_to_unsubscribe(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    peer.send(call("unsubscribe", topic))
    peer.error("bad-request")
    listener = Listener(run, topic)
    done(listener.peer, "unsubscribe", topic)
    listener.peer.send(call("unsubscribe", topic))
    listener.peer.error("bad-request")
    listener.peer.usable()


@case(
    "TO5",
    "subscribes to the same topic twice",
    part=TOPICS,
    mechanism="subscribed again",
    section=ACTIONS,
    expected="the second takes the first one's place: each message once",
)
def again(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    listener = Listener(run, topic)
    listener.subscribe(slow="oldest")
    speaker.send(call("publish", topic, value="once"))
    expect(published(speaker)["subscribers"], 1)
    listener.hears("once")
    listener.hears_no_more()
    done(listener.peer, "unsubscribe", topic)
    publish(speaker, topic, "never")
    listener.hears_no_more()


@case(
    "TO6",
    "asks for a topic's history",
    part=TOPICS,
    mechanism="history",
    section=ACTIONS,
    expected="epoch, seq, and the last messages with seq and value, the oldest first, limit of them at most",
)
def history(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    publish(peer, topic, *(f"value {n}" for n in range(1, 8)))
    epoch = Listener(run, topic).begun["epoch"]
    for limit in (ABSENT, 0, 1, 3, 7, 1000):
        said = done(peer, "history", topic, limit=limit)
        if not isinstance(said, dict) or not isinstance(said.get("messages"), list):
            raise Failed('{"epoch", "seq", "messages": [...]}', shown(said))
        expect((said.get("epoch"), said.get("seq")), (epoch, 7))
        kept = [(one.get("seq"), one.get("value")) for one in said["messages"]]
        right = [(seq, f"value {seq}") for seq in range(1, 8)]
        if kept != right[len(right) - len(kept) :] or (limit is not ABSENT and len(kept) > int(str(limit))):
            raise Failed(f"the last messages of {shown(right)}, limit {limit}", shown(said["messages"]))


@case(
    "TO6.2",
    "asks for the history of a topic that there is not",
    part=TOPICS,
    mechanism="history",
    section=ACTIONS,
    expected="no messages; and asking does not make the topic",
)
def no_history(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    expect(done(peer, "history", topic).get("messages"), [])
    expect(done(peer, "members", topic).get("count"), 0)
    expect(done(peer, "topics", prefix=topic), [])


@case(
    "TO7",
    "asks who the members of a topic are, as they come and go",
    part=TOPICS,
    mechanism="members",
    section=ACTIONS,
    expected="count follows; names is a list of no more than that",
)
def members(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    counted(run, peer, topic, 0)
    listeners = [Listener(run, topic) for _ in range(3)]
    said = done(peer, "members", topic)
    expect(said.get("count"), 3)
    if not isinstance(said.get("names"), list) or len(said["names"]) > 3:
        raise Failed("names, a list", shown(said))
    done(listeners[0].peer, "unsubscribe", topic)
    counted(run, peer, topic, 2)
    listeners[1].peer.reset()
    counted(run, peer, topic, 1)


@case(
    "TO8",
    "lists topics by prefix",
    part=TOPICS,
    mechanism="topics listed",
    section=ACTIONS,
    expected='{"topic", "subscribers"} of each that begins so, limit of them at most',
)
def listed(run: ServerRun) -> None:
    base, peer = fresh(run), run.kept()
    for name in ("a", "ab", "b"):
        publish(peer, f"{base}/{name}", 1)
    Listener(run, f"{base}/ab")

    def names(prefix: str, limit: object = ABSENT) -> list[tuple[object, object]]:
        said = done(peer, "topics", prefix=prefix, limit=limit)
        if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
            raise Failed('a list of {"topic", "subscribers"}', shown(said))
        return sorted((one.get("topic"), one.get("subscribers")) for one in said)

    expect(names(f"{base}/"), [(f"{base}/a", 0), (f"{base}/ab", 1), (f"{base}/b", 0)])
    expect(names(f"{base}/a"), [(f"{base}/a", 0), (f"{base}/ab", 1)])
    expect(names(f"{base}/c"), [])
    expect(len(names(f"{base}/", limit=2)), 2)
    expect(names(f"{base}/", limit=0), [])


# --- what is refused ----------------------------------------------------------------------------


@each(
    {
        "TO10.1": ("subscribe", {"topic": ABSENT}, "no topic"),
        "TO10.2": ("publish", {"topic": ABSENT}, "no topic"),
        "TO10.3": ("unsubscribe", {"topic": ABSENT}, "no topic"),
        "TO10.4": ("history", {"topic": ABSENT}, "no topic"),
        "TO10.5": ("members", {"topic": ABSENT}, "no topic"),
        "TO10.6": ("subscribe", {"topic": 7}, "a topic that is a number"),
        "TO10.7": ("subscribe", {"topic": ""}, "an empty topic"),
        "TO10.8": ("subscribe", {"topic": "x" * 201}, "a topic of 201 characters"),
        "TO10.9": ("publish", {"topic": "x" * 201}, "a topic of 201 characters"),
        "TO10.10": ("subscribe", {"topic": "a\nb"}, "a control character in the topic"),
        "TO10.11": ("publish", {"topic": "a\x00b"}, "a NUL in the topic"),
        "TO10.12": ("publish", {"value": ABSENT}, "no value"),
        "TO10.13": ("subscribe", {"slow": "never"}, "a slow that there is not"),
        "TO10.14": ("subscribe", {"slow": 1}, "a slow that is a number"),
        "TO10.15": ("subscribe", {"slow": "oldest", "key": "k"}, "a key without latest"),
        "TO10.16": ("subscribe", {"slow": "latest", "key": 7}, "a key that is a number"),
        "TO10.17": ("subscribe", {"limit": 0}, "a limit of 0"),
        "TO10.18": ("subscribe", {"limit": True}, "a limit that is true"),
        "TO10.19": ("subscribe", {"limit": 2.5}, "a limit that is no whole number"),
        "TO10.20": ("subscribe", {"since": 3}, "a since that is a number"),
        "TO10.21": ("subscribe", {"since": {"seq": 3}}, "a since without an epoch"),
        "TO10.22": ("subscribe", {"since": {"epoch": "e"}}, "a since without a seq"),
        "TO10.23": ("subscribe", {"since": {"epoch": "e", "seq": -1}}, "a since before the first"),
        "TO10.24": ("history", {"limit": -1}, "a limit below 0"),
        "TO10.25": ("topics", {"prefix": 7}, "a prefix that is a number"),
    },
    "{0} with {2}",
    part=TOPICS,
    mechanism="bad fields of topics' actions",
    section="push.md: Errors",
    expected="bad-request; the connection is usable, and not subscribed",
)
def refused(run: ServerRun, name: str, fields: dict[str, Any], what: str) -> None:
    topic, peer = fresh(run), run.kept()
    given: dict[str, Any] = {"topic": topic, "value": 1, **fields}
    if name != "publish":
        del given["value"]
    peer.send(call(name, **given))
    peer.error("bad-request")
    publish(run.kept(), topic, "nobody hears this")
    peer.usable()
    peer.silence(0.1)


@each(
    {
        "TO11.1": "a/*/b",
        "TO11.2": "*",
        "TO11.3": "**",
        "TO11.4": "*/a",
        "TO11.5": "a/**/b",
    },
    "subscribes to {0}, which is neither a name nor a pattern",
    part=TOPICS,
    mechanism="patterns that are none",
    section=PATTERNS,
    expected="bad-request",
)
def no_pattern(run: ServerRun, name: str) -> None:
    peer = run.kept()
    peer.send(call("subscribe", name))
    peer.error("bad-request")
    peer.usable()


@case(
    "TO11.6",
    "publishes to a pattern",
    part=TOPICS,
    mechanism="patterns that are none",
    section=PATTERNS,
    expected="bad-request: a message has one topic",
)
def publishes_to_a_pattern(run: ServerRun) -> None:
    base, peer = fresh(run), run.kept()
    listener = Listener(run, f"{base}/a")
    for stars in ("*", "**"):
        peer.send(call("publish", f"{base}/{stars}", value=1))
        peer.error("bad-request")
    listener.hears_no_more()


@each(
    {
        "TO12.1": ("200 characters", ""),
        "TO12.2": ("spaces, slashes and dots", " / //.. "),
        "TO12.3": ("characters outside ASCII", "\N{RABBIT FACE}/\u00e9\u4e2d\N{MATHEMATICAL BOLD CAPITAL A}"),
        "TO12.4": ("quotes and backslashes", '"\\u0041" \\'),
        "TO12.5": ("stars inside a level", "a*b/**c/d*"),
    },
    "a topic's name with {0}",
    part=TOPICS,
    mechanism="topics' names",
    section=NAMES,
    expected="published and heard as any other, its name unchanged",
)
def odd_name(run: ServerRun, what: str, name: str) -> None:
    topic = fresh(run, name) if name else fresh(run).ljust(200, "x")
    listener = Listener(run, topic)
    publish(run.kept(), topic, "heard")
    listener.hears("heard")


# --- patterns -----------------------------------------------------------------------------------


def below(run: ServerRun, pattern: str, *names: str) -> tuple[Listener, Peer, str]:
    """A listener to that pattern below a base, and a speaker; `names` have had a message before."""
    base, speaker = fresh(run), run.kept()
    for name in names:
        publish(speaker, f"{base}{name}", "before")
    listener = Listener(run, f"{base}{pattern}")
    listener.begins_behind({f"{base}{name}": 1 for name in names})
    return listener, speaker, base


@case(
    "TO13.1",
    "a subscription to a/*",
    part=TOPICS,
    mechanism="a pattern of one level",
    section=PATTERNS,
    expected="all topics one level below a, old and new; not a itself, nor what is deeper or beside it",
)
def one_level(run: ServerRun) -> None:
    listener, speaker, base = below(run, "/*", "/old")
    for name in ("", "/a/deep", "x/a", "/old", "/new", "/new/deep", "/old"):
        publish(speaker, base + name, f"to {name}")
    listener.hears("to /old", topic=f"{base}/old")
    listener.hears("to /new", topic=f"{base}/new")
    listener.hears("to /old", topic=f"{base}/old")
    listener.hears_no_more()


@case(
    "TO13.2",
    "a subscription to a/**",
    part=TOPICS,
    mechanism="a pattern of all levels",
    section=PATTERNS,
    expected="all topics below a, however deep, old and new; not a itself, nor what is beside it",
)
def all_levels(run: ServerRun) -> None:
    listener, speaker, base = below(run, "/**", "/old", "/old/b/c")
    for name in ("", "x/a", "/old", "/new", "/new/b", "/old/b/c", "/a/b/c/d/e"):
        publish(speaker, base + name, f"to {name}")
    for name in ("/old", "/new", "/new/b", "/old/b/c", "/a/b/c/d/e"):
        listener.hears(f"to {name}", topic=base + name)
    listener.hears_no_more()


@case(
    "TO13.3",
    "unsubscribes from a pattern",
    part=TOPICS,
    mechanism="a pattern given up",
    section=PATTERNS,
    expected="no event of any of its topics, old or new, follows the reply",
)
def gives_up_a_pattern(run: ServerRun) -> None:
    listener, speaker, base = below(run, "/**", "/old")
    publish(speaker, f"{base}/old", 1)
    listener.hears(1, topic=f"{base}/old")
    expect(done(listener.peer, "unsubscribe", listener.topic), {"topic": listener.topic})
    for name in ("/old", "/new", "/new/b"):
        publish(speaker, base + name, "nobody hears this")
    listener.hears_no_more()


@each(
    {
        "TO14.1": ("/*", "/b"),
        "TO14.2": ("/b", "/*"),
        "TO14.3": ("/**", "/b/c"),
        "TO14.4": ("/**", "/*"),
        "TO14.5": ("/**", "/b/**"),
        "TO14.6": ("/b/*", "/**"),
    },
    "subscribes to a{0}, then to a{1}, which takes some of the same topics",
    part=TOPICS,
    mechanism="subscriptions that overlap",
    section=ACTIONS,
    expected="bad-request; the first one stays, and each message comes once",
)
def overlap(run: ServerRun, first: str, second: str) -> None:
    listener, speaker, base = below(run, first)
    listener.peer.send(call("subscribe", base + second))
    listener.peer.error("bad-request")
    topic = base + ("/b/c" if first in ("/**", "/b/*") else "/b")
    publish(speaker, topic, "once")
    listener.hears("once", topic=topic)
    listener.hears_no_more()


@case(
    "TO14.7",
    "subscribes to a/*, a/b/* and a/b/c/d, no two of which take the same topic",
    part=TOPICS,
    mechanism="subscriptions side by side",
    section=ACTIONS,
    expected="all granted; each message once",
)
def side_by_side(run: ServerRun) -> None:
    listener, speaker, base = below(run, "/*")
    for name in ("/b/*", "/b/c/d"):
        done(listener.peer, "subscribe", base + name)
    for name in ("/b", "/b/c", "/b/c/d", "/b/c/e"):
        publish(speaker, base + name, name)
    for name in ("/b", "/b/c", "/b/c/d"):
        listener.hears(name, topic=base + name)
    listener.hears_no_more()


@case(
    "TO15",
    "since with a pattern",
    part=TOPICS,
    mechanism="since with a pattern",
    section="push.md: Events",
    expected="bad-request: a since is of one topic",
)
def since_with_a_pattern(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(call("subscribe", f"{fresh(run)}/*", since={"epoch": "e", "seq": 0}))
    peer.error("bad-request")
    peer.usable()


# --- which connection may ------------------------------------------------------------------------


@case(
    "TO16.1",
    "subscribes on a connection that is not kept alive",
    part=TOPICS,
    mechanism="one-shot subscriber",
    section=ACTIONS,
    expected="bad-request, FIN, and never an event",
)
def one_shot(run: ServerRun) -> None:
    topic = fresh(run)
    peer = run.connect()
    peer.send(call("subscribe", topic))
    publish(run.kept(), topic, "too late")
    peer.refused("bad-request")


@case(
    "TO16.2",
    "subscribes in a request that says close",
    part=TOPICS,
    mechanism="one-shot subscriber",
    section=ACTIONS,
    expected="bad-request, FIN, and never an event",
)
def with_its_last_request(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    peer.send(call("subscribe", topic, header={"connection": "close"}))
    publish(run.kept(), topic, "too late")
    peer.refused("bad-request")


@case(
    "TO16.3",
    "subscribes in its first request, which asks for keep-alive",
    part=TOPICS,
    mechanism="subscribed at once",
    section=ACTIONS,
    expected="granted, and heard",
)
def with_its_first_request(run: ServerRun) -> None:
    topic, peer = fresh(run), run.connect()
    peer.send(call("subscribe", topic, header=dict(KEEP)))
    expect(granted(peer, "subscribe").get("topic"), topic)
    publish(run.kept(), topic, "heard")
    if not peer.next_message().is_event:
        raise Failed("an event", "a reply")


@case(
    "TO16.4",
    "publishes on a connection that is not kept alive",
    part=TOPICS,
    mechanism="one-shot publisher",
    section=ACTIONS,
    expected="the receipt, FIN; the subscriber hears it",
)
def one_shot_publisher(run: ServerRun) -> None:
    topic = fresh(run)
    listener = Listener(run, topic)
    peer = run.connect()
    peer.send(call("publish", topic, value="said and gone"))
    expect(published(peer), {"seq": 1, "subscribers": 1})
    peer.fin()
    listener.hears("said and gone")


@case(
    "TO17",
    "publishes and asks, and never subscribes",
    part=TOPICS,
    mechanism="no events unasked",
    section="push.md",
    expected="replies alone",
)
def never_subscribes(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    listener = Listener(run, topic)
    peer.send(call("publish", topic, value=1) + call("history", topic) + search("ring", id="last"))
    published(peer)
    granted(peer, "history")
    peer.reply()
    publish(run.kept(), topic, 2)
    listener.hears(1, 2)
    peer.usable()
    peer.silence(0.1)
