"""Does a server send what a subscriber has missed, or a gap that covers it exactly?

Every `Listener` keeps an account, so that here too each message must come once, in order, or be in a gap.
Not here: gaps because a subscriber reads too slowly (`server_slow_readers`).
"""

from __future__ import annotations

from .case import TOPICS, Failed, Informational, case, each
from .server_process import kept
from .spawned import spawn
from .targets import ServerRun
from .topics import GAP, Listener, call, done, event, fresh, publish, published
from .wire import shown

SINCE = "push.md: Actions: since"
EPOCH = "push.md: Events: epoch"

#: More messages than a server is expected to remember of a topic.
MANY = 2000


def missed(listener: Listener, count: int | None) -> None:
    if "missed" not in listener.begun or listener.begun["missed"] != count:
        raise Failed(f"missed {shown(count)}", shown(listener.begun))


@each(
    {"TO40.1": 0, "TO40.2": 1, "TO40.3": 4, "TO40.4": 5},
    "subscribes with since {0} of 5 messages",
    part=TOPICS,
    mechanism="since",
    section=SINCE,
    expected="the reply, that many missed, those behind it in order, then what is published now",
)
def since(run: ServerRun, seq: int) -> None:
    topic, speaker = fresh(run), run.kept()
    values = [f"value {n}" for n in range(1, 6)]
    publish(speaker, topic, *values)
    first = Listener(run, topic)
    listener = Listener(run, topic, since={"epoch": first.begun["epoch"], "seq": seq})
    missed(listener, 5 - seq)
    came = listener.hears_to(5)
    if [one.value for one in listener.messages()] != values[5 - sum(one.kind != GAP for one in came) :]:
        raise Failed(f"the last of {shown(values)}", shown([one.value for one in came]))
    publish(speaker, topic, "now")
    listener.hears("now")
    listener.hears_no_more()


@case(
    "TO40.5",
    "subscribes without since to a topic that has had messages",
    part=TOPICS,
    mechanism="since",
    section=SINCE,
    expected="nothing of what was before",
)
def without_since(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    publish(speaker, topic, 1, 2, 3)
    listener = Listener(run, topic)
    missed(listener, 0)
    listener.hears_no_more()
    publish(speaker, topic, 4)
    listener.hears(4)


@case(
    "TO41",
    "subscribes with a since that 2,000 messages have followed",
    part=TOPICS,
    mechanism="since beyond what is remembered",
    section=SINCE,
    expected="one gap for those that are not remembered, then the rest; missed counts all of them",
)
def forgotten(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    publish(speaker, topic, *range(1, MANY + 1))
    epoch = Listener(run, topic).begun["epoch"]
    listener = Listener(run, topic, since={"epoch": epoch, "seq": 3})
    missed(listener, MANY - 3)
    came = listener.hears_to(MANY)
    gaps = [one for one in came if one.kind == GAP]
    if not gaps:
        raise Informational(f"it remembers all {MANY} messages of a topic")
    if len(gaps) > 1 or came[0] is not gaps[0]:
        raise Failed("one gap, before all messages", "; ".join(map(str, gaps)))
    if any(one.value != one.first for one in listener.messages()):
        raise Failed("each message with its own seq", "another")
    if len(came) == 1:
        run.note("it remembers nothing")
    publish(speaker, topic, "now")
    listener.hears("now")


@case(
    "TO42",
    "a subscriber that goes and comes back, again and again, while others publish",
    part=TOPICS,
    mechanism="a reconnect with since",
    section=SINCE,
    expected="over all its connections each message once, in order, or in a gap",
)
def comes_back(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    listener = Listener(run, topic)
    said = 0
    for _ in range(10):
        speaker.send(b"".join(call("publish", topic, value=n) for n in range(said + 1, said + 41)))
        for _ in range(5):  # it hears a few while they are on their way, and has gone before the rest
            listener.next()
        listener.peer.close()
        again = Listener(run, topic, since=listener.position)
        if again.begun["epoch"] != listener.begun["epoch"]:
            raise Failed("the same epoch: the server runs on", shown(again.begun))
        for _ in range(40):
            published(speaker)
        said += 40
        heard = again.hears_to(said)
        if any(one.kind != GAP and one.value != one.first for one in heard):
            raise Failed("each message with its own seq", shown([(one.first, one.value) for one in heard]))
        listener = again
    listener.hears_no_more()


@case(
    "TO42.2",
    "subscribes with since, and publishes in the same segment",
    part=TOPICS,
    mechanism="missed before newer",
    section=SINCE,
    expected="what was missed before what is published now",
)
def missed_before_newer(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    publish(speaker, topic, *range(1, 9))
    epoch = Listener(run, topic).begun["epoch"]
    mine = b"".join(call("publish", topic, value=n) for n in (9, 10))
    listener = Listener(run, topic, since={"epoch": epoch, "seq": 2}, behind=mine)
    for seq in (9, 10):
        if (answer := listener.reply()).code or answer.result.get("seq") != seq:
            raise Failed(f"the receipt of message {seq}", str(answer))
    listener.hears_to(10)
    if [*listener.messages()][-1].value != 10:
        raise Failed("message 10", str(listener.received[-1]))
    listener.hears_no_more()


@case(
    "TO42.3",
    "subscribes with since and a limit of 5, and publishes 20 in the same segment",
    part=TOPICS,
    mechanism="a limit for those who do not read",
    section="push.md: Slow readers: current",
    expected="all of them: it reads",
)
def reads_in_a_busy_turn(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    publish(speaker, topic, 1, 2, 3)
    epoch = Listener(run, topic).begun["epoch"]
    mine = b"".join(call("publish", topic, value=n) for n in range(4, 24))
    listener = Listener(run, topic, limit=5, since={"epoch": epoch, "seq": 1}, behind=mine)
    for _ in range(20):
        if (answer := listener.reply()).code:
            raise Failed("a receipt: it reads as fast as it can", str(answer))
    came = listener.hears_to(23)
    if [one.kind for one in came].count(GAP) > 1 or came[-1].value != 23:
        raise Failed("message 23, and no gap but for what is not remembered", "; ".join(map(str, came)))
    listener.hears_no_more()


@case(
    "TO43",
    "subscribes with the since of another epoch",
    part=TOPICS,
    mechanism="another epoch",
    section=EPOCH,
    expected="a gap with dropped null up to what is remembered, that, and what is published now; missed null",
)
def another_epoch(run: ServerRun) -> None:
    topic, speaker = fresh(run), run.kept()
    publish(speaker, topic, 1, 2, 3)
    listener = Listener(run, topic, since={"epoch": "of another server", "seq": 90})
    missed(listener, None)
    listener.next(what="a gap with dropped null")
    came = listener.hears_to(3)
    if any(one.kind == GAP for one in came) or [one.value for one in came] != [1, 2, 3][3 - len(came) :]:
        raise Failed("behind the gap the messages that are remembered", "; ".join(map(str, came)))
    publish(speaker, topic, 4)
    listener.hears(4)


@case(
    "TO43.2",
    "subscribes to a new topic with the since of one that was there before",
    part=TOPICS,
    mechanism="another epoch",
    section=EPOCH,
    expected="a gap with dropped null, then what is published now, from 1",
)
def begun_anew(run: ServerRun) -> None:
    topic = fresh(run)
    listener = Listener(run, topic, since={"epoch": "forgotten", "seq": 9})
    gap = listener.next(what="a gap with dropped null")
    if gap.last != 0:
        raise Failed("a gap up to 0: nothing was published yet", str(gap))
    publish(run.kept(), topic, "first")
    listener.hears("first")


@case(
    "TO44",
    "a server ends and starts again; a subscriber comes back",
    part=TOPICS,
    slow=True,
    mechanism="an epoch ends with its server",
    section=EPOCH,
    expected="another epoch, and a gap of unknown size; or the same one, and each message once",
)
def restarted(run: ServerRun) -> None:
    topic = fresh(run)
    first = spawn(run)
    before = done(kept(run, first), "subscribe", topic)
    publish(kept(run, first), topic, "before")
    first.end()
    second = spawn(run)
    publish(kept(run, second), topic, "between")
    peer = kept(run, second)
    begun = done(peer, "subscribe", topic, since={"epoch": before["epoch"], "seq": 1})
    if begun["epoch"] == before["epoch"]:  # it has kept its topics
        if begun["seq"] != 2:
            raise Failed("seq 2 in the epoch that goes on", shown(begun))
        return
    came = event(peer, what="a gap with dropped null")
    if came.kind != GAP or came.dropped is not None:
        raise Failed("a gap with dropped null", str(came))
