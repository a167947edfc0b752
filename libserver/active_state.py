"""What does a connection have to remember while it is not at rest?

At rest, kept alive between two messages with nothing owed, it has served so many requests and needs to know no more:
that number is all it holds (`Message.requests`). Ten thousand idle connections pay for nothing else.
While it is busy an `ActiveState` stands where the number stood, and counts on like one.

Not here: what it remembers of a message that is arriving (`protocol.connection`).
"""

from __future__ import annotations

from protocol import Request

from .replies import PendingReply, ReplyQueue
from .session import Session
from .subscription import Subscription

__all__ = ["ActiveState"]


class ActiveState:
    """What a connection has to remember while it is not at rest, and how many requests it has answered.

    It stands where that number stood (`Message.requests`), and counts on like one.
    """

    __slots__ = (
        "deadline",
        "events_after",
        "held",
        "replies",
        "requests",
        "sends_on",
        "session",
        "subscriptions",
        "unserved",
        "yielded",
    )

    def __init__(self, requests: int = 0) -> None:
        self.requests = requests
        self.replies = ReplyQueue()
        self.held: Request | None = None  # a request for which the pool has no room yet
        self.unserved = b""  # what has come behind that, or while it was not its turn
        self.deadline: float | None = None  # of the message being read
        self.session: Session | None = None
        self.subscriptions: dict[str, Subscription] | None = None  # by topic or pattern
        self.events_after: PendingReply | None = None  # the reply that must leave before any event
        self.yielded = False  # it had its share of this turn
        self.sends_on = False  # something has come behind its last request, and was thrown away

    @property
    def empty(self) -> bool:
        return not (self.replies or self.held or self.session is not None or self.yielded or self.unserved)

    def __iadd__(self, requests: int) -> ActiveState:
        self.requests += requests
        return self

    __add__ = __iadd__  # as which mypy takes += where it may be an int; nobody says +

    def __int__(self) -> int:
        return self.requests
