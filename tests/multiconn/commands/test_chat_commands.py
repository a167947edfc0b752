"""`multiconn.commands.chat_commands`: what a line means, and what is told of one that means nothing."""

from __future__ import annotations

from typing import Any

import pytest

from multiconn.commands.chat_commands import ALONE, HELP, Unusable, parse

TOPIC = "chat/room/lobby"


@pytest.mark.parametrize(
    ("line", "kind", "request_"),
    [
        ("hello", "say", {"action": "chat-say", "text": "hello"}),
        ("  two  words ", "say", {"action": "chat-say", "text": "  two  words "}),
        ("//who", "say", {"action": "chat-say", "text": "/who"}),
        ("/who", "who", {"action": "members", "topic": TOPIC}),
        (" /who", "say", {"action": "chat-say", "text": " /who"}),
        ("/me waves", "say", {"action": "chat-say", "kind": "me", "text": "waves"}),
        ("/msg bob psst you", "tell", {"action": "chat-tell", "to": "bob", "text": "psst you"}),
        ("/rooms ", "rooms", {"action": "chat-rooms"}),
        ("/history", "history", {"action": "history", "topic": TOPIC, "limit": 50}),
        ("/join garden", "join", {}),
        ("\udcff", "say", {"action": "chat-say", "text": "\udcff"}),
        ("x" * 16, "say", {"action": "chat-say", "text": "x" * 16}),
    ],
)
def test_a_line_is_a_command(line: str, kind: str, request_: dict[str, Any]) -> None:
    command = parse(line, TOPIC, 16)
    assert (command.kind, command.request) == (kind, request_)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/nope", "there is no /nope; /help lists"),
        ("/", "there is no /; /help lists"),
        ("/WHO", "there is no /WHO; /help lists"),
        ("/join", "write /join ROOM"),
        ("/join a b", "write /join ROOM"),
        ("/msg", "write /msg NAME TEXT"),
        ("/msg bob", "write /msg NAME TEXT"),
        ("/me", "write /me TEXT"),
        ("/who is it", "/who takes nothing behind it; to say it, write //who is it"),
        ("seventeen letters", "a line has at most 16 bytes, and this one has 17"),
        ("/me éééééééééé", "a line has at most 16 bytes, and this one has 20"),
        ("\udcff" * 6, "a line has at most 16 bytes, and this one has 18"),
    ],
)
def test_a_line_that_means_nothing_is_told_with_what_to_write(line: str, words: str) -> None:
    with pytest.raises(Unusable) as raised:
        parse(line, TOPIC, 16)
    assert str(raised.value).startswith(words)


def test_the_help_has_every_command() -> None:
    for command in (*ALONE, "/join", "/msg", "/me", "//"):
        assert f"  {command}" in HELP
