"""What is answered when everybody who is ready has been read?

With many clients that await each reply, a turn brings one whole request on each of many connections
at rest. Answered where they are read, each costs a call of json's scanner and a dozen of ours. And
each reply wakes its client, which finds one, sleeps again, and is woken by the next: at our
expense, since the waking is done inside our send. So they wait here until all have been read:

    Message.data_received -> add
    the turn's last part  -> answer:  answer_each     of all that are one common request, in one step
                                      Message.answer  of whatever else came, one after the other
                                      Message.write   the replies, right after each other

Rules:

* Nobody waits long for others: no more than `TOGETHER` connections wait, and when `WITHIN` seconds
  have gone by, all of them are answered before anybody else is served. So a request, and a reply,
  waits for what one read of another connection asks, and no more.
* An error costs the connection it was met on, no other; so does an interrupt. What else waits is
  answered in the next turn.
* A connection waits once. Whoever reads more of one that waits, or ends one, has to `answer`
  first, or to `forget` all of them.

Redis sends before it sleeps (`beforeSleep`), and uvloop at the end of a turn; that also reading and
answering wait for each other is Python's need: its calls are what a request costs.

Not here: what is one common request (`protocol.batch`), when a connection is at rest (`libserver.message`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from protocol import ProtocolError
from protocol.batch import PARTS, BytesLike, answer_each

from .message import Message
from .reasons import CloseReason

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Together"]

#: The first of a thousand would wait for the last; more than so many together brought nothing.
TOGETHER = 64
#: Seconds. 64 connections with 16 requests each take 3 ms; what takes longer is a handler that does.
WITHIN = 0.005


class Together:
    """What was read of a server's connections at rest and is not yet answered."""

    __slots__ = ("_answering", "_clock", "_due", "_replies", "_server", "_waiting")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: dict[Message, bytes] = {}  # what was read of each
        self._replies: list[tuple[Message, Sequence[BytesLike], int]] = []  # to be sent, with their contents' size
        self._clock = server.loop.clock
        self._due = 0.0  # by when they want to be answered
        self._answering = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message, data: bytes) -> None:
        """`message`, which is at rest, has received `data`: answer it in this turn's last part, or before."""
        waiting = self._waiting
        if message in waiting:
            self.answer()
            message.data_received(data)  # it may be at rest no more
            return
        waiting[message] = data
        count = len(waiting)
        if count == 1:
            self._due = self._clock() + WITHIN
            self._server.loop.call_soon(self.answer)
        elif count >= TOGETHER or self._clock() > self._due:
            self.answer()

    def hurry(self) -> None:
        """Somebody else is about to be served: whoever has waited long enough comes first."""
        if self._waiting and self._clock() > self._due:
            self.answer()

    def forget(self) -> None:
        """All connections are cut: nobody waits for an answer."""
        self._waiting.clear()
        self._replies.clear()

    def answer(self) -> None:
        """Answer all that waits, and send the replies."""
        if self._answering:
            return
        waiting = self._waiting
        self._answering = True
        self._due = self._clock() + WITHIN
        try:
            if len(waiting) > 1:
                self._answer_common()
            while waiting:
                self._send_if_late()
                self._answer_first()
            self._send()
        finally:
            self._answering = False
            if waiting or self._replies:  # interrupted
                self._server.loop.call_soon(self.answer)

    def _answer_common(self) -> None:
        """Answer in one step all that can be, and take them out."""
        server = self._server
        taken: list[int] = []
        replies: list[BytesLike] = []
        messages = [*self._waiting]

        def failed(error: BaseException, asked: object) -> ProtocolError:
            return messages[taken[len(replies) // PARTS]].failure(error, asked)

        try:
            answer_each(
                server.codec,
                self._waiting.values(),
                server.actions.handlers,
                failed,
                taken,
                replies,
                self._clock,
                self._due,
            )
        except Exception as error:
            server.met_bug(self, error)  # whoever it was meets it again, alone
        except BaseException:
            answered = len(replies) // PARTS
            if answered < len(taken):
                self._cut(messages[taken[answered]])
            raise
        finally:
            self._take(messages, taken, replies)

    def _take(self, messages: list[Message], taken: list[int], replies: list[BytesLike]) -> None:
        """The first of those taken have these replies, and wait no more."""
        answered = len(replies) // PARTS
        heads, contents, tails = (replies[part : answered * PARTS : PARTS] for part in range(PARTS))
        for number, head, content, tail in zip(taken, heads, contents, tails, strict=False):
            message = messages[number]
            message.requests += 1
            self._replies.append((message, (head, content, tail), len(content)))
        if answered == len(messages):
            self._waiting.clear()
        else:
            for number in taken[:answered]:
                del self._waiting[messages[number]]

    def _answer_first(self) -> None:
        """Answer the first of those that wait, whatever it asks."""
        message = next(iter(self._waiting))
        try:
            replies, size = message.answer(self._waiting.pop(message))
        except BaseException as error:
            self._charge(message, error)
        else:
            self._replies.append((message, replies, size))

    def _charge(self, message: Message, error: BaseException) -> None:
        """It was met on this one. Raises it again if it is an interrupt."""
        if isinstance(error, Exception):
            self._server.met_bug(message, error)
        else:
            self._cut(message)
            raise error

    def _cut(self, message: Message) -> None:
        """An interrupt has hit it: one reply will not leave, so none that follows may."""
        self._waiting.pop(message, None)
        self._server.resting.in_flight = 0
        message.abort(CloseReason.INTERNAL_ERROR)

    def _send_if_late(self) -> None:
        if self._clock() > self._due:
            self._send()
            self._due = self._clock() + WITHIN

    def _send(self) -> None:
        replies = self._replies
        begun = 0
        try:
            for message, parts, size in replies:
                begun += 1
                try:
                    message.write(parts, size)
                except BaseException as error:
                    self._charge(message, error)
        finally:
            del replies[:begun]
