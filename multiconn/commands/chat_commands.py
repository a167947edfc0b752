"""What does a line mean that a person types into a chat?

    parse("/me waves", topic, 4096)  ->  Command("say", {"action": "chat-say", "kind": "me", "text": "waves"}, "waves")

Rules:

* A line that begins with a slash is a command; with two it is said, without the first.
* What makes no sense is told with what to write, and is not sent.

Not here: when a line is sent, and what becomes of it (`chat_room`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["HELP", "Command", "Unusable", "parse"]

HELP = """\
  hello there          say it to the room
  //hello              say /hello
  /me waves            say what you do
  /msg NAME TEXT       say it to one person alone
  /who                 who is in this room
  /rooms               which rooms there are
  /join ROOM           go to another room
  /history             what was said here last
  /quit                the end; Ctrl-D too
  /help                this"""

#: Commands that take nothing behind them.
ALONE = ("/who", "/rooms", "/history", "/quit", "/help")

#: Messages that `/history` shows.
HISTORY = 50


class Unusable(Exception):
    """A line means nothing; the words say what to write."""


class Command(NamedTuple):
    """`kind` is say, tell, who, rooms, history or join. `request` is what asks for it, but for join: there `text` is
    the room."""

    kind: str
    request: dict[str, Any]
    text: str = ""


def parse(line: str, topic: str, max_line: int) -> Command:
    """What `line` means in the room with this topic. `max_line`: bytes of a text, at most. Raises `Unusable`."""
    if not line.startswith("/") or line.startswith("//"):
        text = line.removeprefix("/")
        return _saying("say", {"action": "chat-say"}, text, "something to say", max_line)
    command, _, rest = line.rstrip().partition(" ")
    rest = rest.strip()
    if command in ALONE and rest:
        raise Unusable(f"{command} takes nothing behind it; to say it, write /{line.rstrip()}")
    if command == "/join":
        if not rest or " " in rest:
            raise Unusable("write /join ROOM, such as /join garden")
        return Command("join", {}, rest)
    if command == "/who":
        return Command("who", {"action": "members", "topic": topic})
    if command == "/rooms":
        return Command("rooms", {"action": "chat-rooms"})
    if command == "/history":
        return Command("history", {"action": "history", "topic": topic, "limit": HISTORY})
    if command == "/msg":
        to, _, text = rest.partition(" ")
        return _saying("tell", {"action": "chat-tell", "to": to}, text.strip(), "/msg NAME TEXT", max_line)
    if command == "/me":
        return _saying("say", {"action": "chat-say", "kind": "me"}, rest, "/me TEXT, such as /me waves", max_line)
    raise Unusable(f"there is no {command}; /help lists what there is, and to say it write /{line.rstrip()}")


def _saying(kind: str, request: dict[str, Any], text: str, form: str, max_line: int) -> Command:
    if not text:
        raise Unusable(f"write {form}")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > max_line:
        raise Unusable(f"a line has at most {max_line} bytes, and this one has {size}: say it in several")
    return Command(kind, {**request, "text": text}, text)
