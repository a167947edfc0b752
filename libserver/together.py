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

* Nobody waits long for others: no more than `TOGETHER` connections wait, and none after `WITHIN`
  seconds, unless one slow handler keeps us.
* An error costs the connection it was met on, no other. An interrupt costs the one whose handler it
  hit: what else waits is done in the next turn.
* What waits has been read. Who ends connections that are between messages has to `answer` first.

Redis sends before it sleeps (`beforeSleep`), and uvloop at the end of a turn; that also reading and
answering wait for each other is Python's need: its calls are what a request costs.

Not here: what is one common request (`protocol.batch`), when a connection is at rest (`libserver.message`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.batch import PARTS, BytesLike, answer_each

from .message import Message

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Together"]

#: The first of a thousand would wait for the last; more than so many together brought nothing.
TOGETHER = 64
#: Seconds. 32 connections with 16 requests each take 1 or 2 ms; what takes longer is a handler that does.
WITHIN = 0.005


class Together:
    """What was read of a server's connections at rest and is not yet answered."""

    __slots__ = ("_data", "_messages", "_replies", "_server", "_since")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._messages: list[Message] = []
        self._data: list[bytes] = []  # of each of them
        self._replies: list[tuple[Message, list[BytesLike], int]] = []  # to be sent, with their size
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message, data: bytes) -> None:
        """`message`, which is at rest, has received `data`: answer it in this turn's last part, or before."""
        messages = self._messages
        messages.append(message)
        self._data.append(data)
        loop = self._server.loop
        if len(messages) == 1:
            self._since = loop.clock()
            loop.call_soon(self.answer)
        elif len(messages) >= TOGETHER or loop.clock() > self._since + WITHIN:
            self.answer()

    def answer(self) -> None:
        """Answer all that waits, and send the replies."""
        messages = self._messages
        self._since = self._server.loop.clock()
        try:
            if len(messages) > 1:
                self._answer_common()
            while messages:
                self._send_if_late()
                self._answer_first()
            self._send()
        finally:
            if messages or self._replies:  # interrupted
                self._server.loop.call_soon(self.answer)

    def _answer_common(self) -> None:
        """Answer in one step all that can be, and take them out."""
        server, messages = self._server, self._messages
        numbers: list[int] = []
        replies: list[BytesLike] = []
        until = self._since + WITHIN
        try:
            answer_each(
                server.codec,
                self._data,
                server.actions.handlers,
                server.failure,
                numbers,
                replies,
                server.loop.clock,
                until,
            )
        except BaseException as error:
            answered = len(replies) // PARTS
            hit = messages[numbers[answered]]
            self._take(numbers[: answered + 1], replies)
            if not isinstance(error, Exception):
                raise
            server.met_bug(hit, error)
        else:
            self._take(numbers[: len(replies) // PARTS], replies)

    def _take(self, numbers: list[int], replies: list[BytesLike]) -> None:
        """Take these out; to the first of them these are the replies."""
        messages = self._messages
        for number, at in zip(numbers, range(0, len(replies), PARTS), strict=False):
            parts = replies[at : at + PARTS]
            self._replies.append((messages[number], parts, len(parts[1])))
        for number in reversed(numbers):
            del messages[number], self._data[number]

    def _answer_first(self) -> None:
        """Answer the first of those that wait, whatever it asks."""
        message, data = self._messages.pop(0), self._data.pop(0)
        try:
            replies, size = message.answer(data)
        except Exception as error:
            self._server.met_bug(message, error)
        else:
            self._replies.append((message, replies, size))

    def _send_if_late(self) -> None:
        clock = self._server.loop.clock
        if clock() > self._since + WITHIN:
            self._send()
            self._since = clock()

    def _send(self) -> None:
        replies = self._replies
        begun = 0
        try:
            for message, parts, size in replies:
                begun += 1
                try:
                    message.write(parts, size)
                except Exception as error:
                    self._server.met_bug(message, error)
        finally:
            del replies[:begun]
