"""Are the events of a server with topics right: their bytes, their order, and their place among replies?

Not here: which subscriptions there are (`server_topics`), what was missed (`server_since`), slow readers
(`server_slow_readers`).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from .case import SOON, TOPICS, Failed, Informational, case, each
from .peer import exchange
from .server_process import ends_with, kept
from .spawned import spawn
from .targets import ServerRun
from .topics import MESSAGE, Listener, call, done, event, fresh, granted, publish, published
from .wire import KEEP, action, binary, search, shown

EVENTS = "push.md: Events"
PROMISE = "push.md: Events: the promise"
REPLIES_FIRST = "push.md: Events: a handler's own reply leaves before the events that it caused"


# --- what one says -------------------------------------------------------------------------------


@each(
    {
        "TO20.1": ("a text", "hello"),
        "TO20.2": ("an empty text", ""),
        "TO20.3": ("characters outside ASCII", "\N{RABBIT FACE} \u00e9 \u4e2d \x7f \u2028"),
        "TO20.4": ("quotes, backslashes and control characters", '"\\" \n\t\x00 \\u0041'),
        "TO20.5": ("a lone surrogate", "before \ud800 behind"),
        "TO20.6": ("an object", {"a": {"b": [1, {"c": None}]}, "": ""}),
        "TO20.7": ("a list", [1, [2, [3]], "four"]),
        "TO20.8": ("null", None),
        "TO20.9": ("false", False),
        "TO20.10": ("0", 0),
        "TO20.11": ("a fraction", -0.5),
        "TO20.12": ("a large number", 2**53),
        "TO20.13": ("what looks like a message", {"topic": "other", "seq": 7, "value": 1, "from": "nobody"}),
        "TO20.14": ("what looks like an error", {"result": "Error: x", "error": {"code": "bad-request"}}),
    },
    "publishes {0}",
    part=TOPICS,
    mechanism="values of messages",
    section=EVENTS,
    expected="an event message with topic, seq and just this value",
)
def value(run: ServerRun, what: str, said: object) -> None:
    topic = fresh(run)
    listener = Listener(run, topic)
    speaker = run.kept()
    speaker.send(call("publish", topic, value=said))
    published(speaker)
    listener.hears(said)


@case(
    "TO21",
    "publishes in UTF-16",
    part=TOPICS,
    mechanism="an event's encoding",
    section=EVENTS,
    expected="the same event, in utf-8",
)
def from_utf_16(run: ServerRun) -> None:
    topic = fresh(run)
    listener, speaker = Listener(run, topic), run.kept()
    speaker.send(call("publish", topic, value="\N{RABBIT FACE}", header={"encoding": "utf-16"}))
    published(speaker)
    listener.hears("\N{RABBIT FACE}")


@case(
    "TO22",
    "publishes half of the largest JSON content",
    part=TOPICS,
    heavy=True,
    mechanism="a large event",
    section=EVENTS,
    expected="whole, and the next one behind it",
)
def large(run: ServerRun) -> None:
    topic, text = fresh(run), "0123456789abcdef" * (min(run.options.max_json // 2, 4 << 20) // 16)
    listener, speaker = Listener(run, topic), run.kept()
    for said in (text, "small"):
        speaker.send(call("publish", topic, value=said))
        published(speaker)
    listener.hears(text, "small")


@case(
    "TO23",
    "many subscribe, each in its own way, also to patterns",
    part=TOPICS,
    mechanism="one event for all",
    section="push.md: Events: its bytes are the same for every subscriber",
    expected="the same bytes for all of them",
)
def same_bytes(run: ServerRun) -> None:
    base, speaker = fresh(run), run.kept()
    topic = f"{base}/a"
    listeners = [
        Listener(run, topic),
        Listener(run, topic, slow="latest", key="k", limit=7),
        Listener(run, topic, since={"epoch": Listener(run, topic).begun["epoch"], "seq": 0}),
        Listener(run, f"{base}/*"),
        Listener(run, f"{base}/**", slow="newest"),
    ]
    odd = run.connect()
    odd.send(call("subscribe", topic, header={"id": "odd", "encoding": "utf-16", "byteorder": "big", **KEEP}))
    granted(odd, "subscribe")
    publish(speaker, topic, {"k": "\N{RABBIT FACE}"}, 2)
    for listener in listeners:
        listener.hears({"k": "\N{RABBIT FACE}"}, 2, topic=topic)
    frames = {b"".join(one.frame for one in listener.received) for listener in listeners}
    frames.add(event(odd).frame + event(odd).frame)
    if len(frames) > 1:
        raise Failed("the same bytes for every subscriber", shown(sorted(frames)))


# --- in which order ------------------------------------------------------------------------------


@case(
    "TO24",
    "publishes 1,000 messages, 50 in a segment, to five subscribers",
    part=TOPICS,
    mechanism="every message once, in order",
    section=PROMISE,
    expected="1,000 events each, in the order of seq, which rises by one, once",
)
def a_thousand(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    listeners = [Listener(run, topic) for _ in range(5)]
    values = range(1000)
    seqs = publish(speaker, topic, *values)
    if seqs != [*range(1, 1001)]:
        raise Failed("seq 1 to 1,000", shown(seqs))
    for listener in listeners:
        listener.hears(*values)
        listener.hears_no_more()


@case(
    "TO24.2",
    "ten publish to one topic at once, 50 messages each",
    part=TOPICS,
    mechanism="many publishers",
    section=PROMISE,
    expected="two subscribers see the same 500 messages, each publisher's own in their order",
)
def many_publishers(run: ServerRun) -> None:
    topic = fresh(run)
    one, other = Listener(run, topic), Listener(run, topic)
    speakers = [run.kept() for _ in range(10)]
    said = [b"".join(call("publish", topic, value=[who, n]) for n in range(50)) for who in range(10)]
    replies = exchange(speakers, said, 50, SOON * 2)
    wrong = next((one for told in replies for one in told if not isinstance(one.result, dict)), None)
    if wrong is not None:
        raise Failed('{"seq", "subscribers"}', str(wrong))
    seqs = {(who, n): reply.result.get("seq") for who, told in enumerate(replies) for n, reply in enumerate(told)}
    for listener in (one, other):
        heard = listener.hears_to(500)
        got = {tuple(came.value): came.first for came in heard if isinstance(came.value, list)}
        if got != seqs:
            raise Failed("each message with the seq that its publisher was told", "others")
    if [came.frame for came in one.received] != [came.frame for came in other.received]:
        raise Failed("the same for both", "different")


@case(
    "TO24.3",
    "publishes to three topics in turn, all of which it hears",
    part=TOPICS,
    mechanism="many topics",
    section=PROMISE,
    expected="each topic has numbers of its own, from 1, without a hole",
)
def many_topics(run: ServerRun) -> None:
    base, speaker = fresh(run), run.kept()
    topics = [f"{base}/{name}" for name in "abc"]
    listener = Listener(run, f"{base}/*")
    speaker.send(b"".join(call("publish", topic, value=n) for n in range(30) for topic in topics))
    for _ in range(90):
        published(speaker)
    for _ in range(90):
        listener.next()
    for topic in topics:
        got = [came.value for came in listener.messages() if came.topic == topic]
        if got != [*range(30)]:
            raise Failed(f"30 messages of {topic}, in order", shown(got))
    listener.hears_no_more()


# --- among replies -------------------------------------------------------------------------------


@case(
    "TO25",
    "a subscriber publishes, and asks on",
    part=TOPICS,
    mechanism="its own event",
    section=REPLIES_FIRST,
    expected="each event behind the reply to its own publish; every reply in order",
)
def its_own(run: ServerRun) -> None:
    topic = fresh(run)
    listener = Listener(run, topic)
    peer = listener.peer
    for n in range(1, 21):
        peer.send(call("publish", topic, value=n))
        published(peer)
        listener.hears(n)
    peer.send(b"".join(call("publish", topic, value=n, header={"id": n}) for n in range(21, 41)))
    replied = 20
    while replied < 40 or len(listener.received) < 40:
        came = peer.next_message(what=f"reply {replied + 1}, or event {len(listener.received) + 1}, of 40")
        if not came.is_event:
            replied += 1
            if came.header.get("id") != replied:
                raise Failed(f"the reply to request {replied}", str(came))
            continue
        listener.take(came)
        if len(listener.received) > replied:
            raise Failed(f"the reply to publish before its event {len(listener.received)}", str(came))
    listener.hears_no_more()


@case(
    "TO25.2",
    "subscribes and publishes in one segment",
    part=TOPICS,
    mechanism="its own event",
    section=REPLIES_FIRST,
    expected="both replies before the event",
)
def subscribes_and_publishes(run: ServerRun) -> None:
    topic, peer = fresh(run), run.kept()
    peer.send(call("subscribe", topic) + call("publish", topic, value="mine"))
    begun = granted(peer, "subscribe")
    if published(peer)["subscribers"] != 1:
        raise Failed("one subscriber", "another number")
    came = event(peer)
    if (came.kind, came.first, came.value) != (MESSAGE, begun["seq"] + 1, "mine"):
        raise Failed("the message", str(came))


@case(
    "TO25.3",
    "a subscriber asks for what takes its time, then publishes",
    part=TOPICS,
    slow=True,
    mechanism="events behind a reply that waits",
    section=REPLIES_FIRST,
    expected="the slow reply, the receipt, the event; others hear it meanwhile",
)
def behind_a_blocking_action(run: ServerRun) -> None:
    name = run.options.blocking_action
    if name is None:
        raise Informational("shown only with --blocking-action")
    topic = fresh(run)
    listener, other = Listener(run, topic), Listener(run, topic)
    listener.peer.send(action(name, "slow") + call("publish", topic, value="mine"))
    listener.peer.result("slow", within=run.patience)
    published(listener.peer)
    listener.hears("mine")
    other.hears("mine")


@case(
    "TO26",
    "200 requests pipelined by a subscriber, while others publish 200 messages",
    part=TOPICS,
    mechanism="events between replies",
    section="wire.md: the header: event",
    expected="200 replies and 200 events, each kind in its order, every message whole",
)
def between_replies(run: ServerRun) -> None:
    topic = fresh(run)
    listener, speaker = Listener(run, topic), run.kept()
    replied = 0
    for asked in range(0, 200, 50):
        speaker.send(b"".join(call("publish", topic, value=n) for n in range(50)))
        listener.peer.send(b"".join(action("echo", "x" * 500, id=n) for n in range(asked, asked + 50)))
        for _ in range(50):
            published(speaker)
    while replied < 200 or len(listener.received) < 200:
        came = listener.peer.next_message(what=f"reply {replied} or event {len(listener.received) + 1} of 200")
        if came.is_event:
            listener.take(came)
            continue
        if came.header.get("id") != replied or came.result != "x" * 500:
            raise Failed(f"the reply to request {replied}", str(came))
        replied += 1
    listener.hears_no_more()


@case(
    "TO27",
    "a subscriber takes a large reply slowly, while others publish",
    part=TOPICS,
    heavy=True,
    mechanism="events inside a reply",
    section="push.md: Events: only between whole messages",
    expected="the reply whole, the events before or behind it",
)
def inside_a_reply(run: ServerRun) -> None:
    topic = fresh(run)
    listener, speaker = Listener(run, topic, receive_buffer=8192), run.kept()
    content = bytes(range(256)) * (min(6 << 20, run.options.max_content) // 256)
    listener.peer.send(binary(content), within=SOON * 4)
    listener.peer.receive(time.monotonic() + SOON, most=1000)  # it has begun to leave
    publish(speaker, topic, *range(20))
    replied = False
    while not (replied and len(listener.received) == 20):
        came = listener.peer.next_message(SOON * 4, "the reply and 20 events, whole")
        if came.is_event:
            listener.take(came)
        elif replied or came.content != content:
            raise Failed(f"{len(content)} bytes as they were", str(came))
        else:
            replied = True
    listener.hears_no_more()


# --- as long as it lasts -------------------------------------------------------------------------


@case(
    "TO28",
    "a subscriber half-closes",
    part=TOPICS,
    mechanism="a subscriber's end",
    section="wire.md: one connection, many requests",
    expected="its replies, then FIN; no member any more",
)
def half_closes(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    listener = Listener(run, topic)
    listener.peer.send(search("morpheus", id="last"))
    listener.peer.half_close()
    if listener.peer.reply().header.get("id") != "last":
        raise Failed("the last reply", "another")
    listener.peer.fin()
    gone(run, lambda: done(speaker, "members", topic)["count"] == 0)


@case(
    "TO28.2",
    "a subscriber says close, while others publish",
    part=TOPICS,
    mechanism="a subscriber's end",
    section="wire.md: one connection, many requests",
    expected="the last reply, FIN, and no event between them",
)
def says_close(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    listener = Listener(run, topic)
    listener.peer.send(search("morpheus", id="last", connection="close"))
    publish(speaker, topic, *range(20))
    came = listener.reply()
    if came.header.get("connection") != "close":
        raise Failed('"connection": "close"', str(came))
    listener.peer.fin()
    gone(run, lambda: done(speaker, "members", topic)["count"] == 0)


@case(
    "TO28.3",
    "a hundred subscribers reset, while others publish",
    part=TOPICS,
    mechanism="a subscriber's end",
    section="push.md",
    expected="those that stay hear everything",
)
def resets(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    stays = Listener(run, topic)
    for number in range(20):
        some = [Listener(run, topic) for _ in range(5)]
        speaker.send(call("publish", topic, value=number))
        for listener in some:
            listener.peer.reset()
        published(speaker)
    stays.hears(*range(20))
    gone(run, lambda: done(speaker, "members", topic)["count"] == 1)


def gone(run: ServerRun, holds: Callable[[], bool]) -> None:
    if not run.until(holds, SOON):
        raise Failed("a subscriber whose connection has ended to be none", "it still is one")


@case(
    "TO29",
    "a subscriber hears nothing for longer than an idle connection may be silent",
    part=TOPICS,
    slow=True,
    mechanism="a subscriber is not idle",
    section="push.md: Slow readers: not idle",
    expected="the idle one gets FIN, the subscriber stays and hears the next message",
)
def not_idle(run: ServerRun) -> None:
    topic = fresh(run)
    listener, idle = Listener(run, topic), run.kept()
    if idle.end(run.patience) is None:
        raise Informational(f"no connection is too idle within {run.patience:g} s")
    listener.peer.silence(1.0)
    publish(run.kept(), topic, "at last")
    listener.hears("at last")


@case(
    "TO30",
    "SIGTERM while somebody subscribes",
    part=TOPICS,
    slow=True,
    mechanism="a drain with subscribers",
    section="push.md: Slow readers: when the server drains",
    expected="FIN between messages, and exit code 0 within seconds",
)
def drained(run: ServerRun) -> None:
    server = spawn(run)
    peers = [kept(run, server) for _ in range(3)]
    topic = fresh(run)
    for peer in peers:
        done(peer, "subscribe", topic)
    server.signal(signal.SIGTERM)
    for peer in peers:
        peer.fin()
    ends_with(server, 0, SOON)
