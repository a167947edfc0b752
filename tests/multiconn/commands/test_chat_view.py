"""`multiconn.commands.chat_view`: how events look, and that nothing a peer sent acts on a terminal."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from multiconn.commands.chat_view import _TEXTS, REMARKS, as_json, as_text

PAGE = Path(__file__).resolve().parents[3] / "docs" / "do" / "chat.md"

NOW = time.time()
CLOCK = time.strftime("%H:%M", time.localtime(NOW))
EVIL = "\x1b[2J\r\n12:00 ann: forged\u202e\x07\x85\u2028"


def event(kind: str, /, **more: Any) -> dict[str, Any]:
    return {"event": kind, "room": "lobby", "from": "bob", "text": "hi", "time": NOW, **more}


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (event("message"), f"{CLOCK} bob: hi"),
        (event("me", text="waves"), f"{CLOCK} * bob waves"),
        (event("private"), f"{CLOCK} [to you alone] bob: hi"),
        (event("sent", to="zoe"), "[to zoe alone] hi"),
        (event("join"), f"{CLOCK} -- bob has come"),
        (event("leave"), f"{CLOCK} -- bob has gone"),
        (event("join", **{"from": "ann"}), None),
        (event("leave", **{"from": "ann"}), None),
        (event("joined", name="ann", people=1), "-- you are ann in lobby, alone; /help lists the commands"),
        (event("joined", name="ann", people=2), "-- you are ann in lobby, with one other; /help lists the commands"),
        (event("joined", name="ann", people=3), "-- you are ann in lobby, with 2 others; /help lists the commands"),
        (event("back", missed=0), "-- back in lobby; nothing was missed"),
        (event("back", missed=1), "-- back in lobby; 1 message was missed:"),
        (event("back", missed=2), "-- back in lobby; 2 messages were missed:"),
        (
            event("back", missed=None),
            "-- back in lobby; the server was started again: what was said meanwhile may be missing",
        ),
        (event("gap", topic="room", dropped=7), "-- 7 messages were left out here"),
        (event("gap", topic="private", dropped=1), "-- 1 message was left out here"),
        (event("gap", topic="presence", dropped=7), None),
        (event("gap", topic="room", dropped=None), None),
        (event("who", names=["ann", "bob"]), "-- in lobby: ann, bob"),
        (
            event("rooms", rooms=[{"room": "lobby", "people": 2}, {"room": "b", "people": 1}]),
            "-- rooms: lobby (2), b (1)",
        ),
        (event("lost", why="x"), "-- the connection is lost; trying to get another"),
        (event("held"), "-- this waits for a connection: hi"),
        (event("error", code="x", message="no"), "-- no"),
        (event("help", text="two\nlines"), "two\nlines"),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else "",
)
def test_an_event_is_a_line(shown: dict[str, Any], text: str | None) -> None:
    assert as_text(shown, "ann") == text
    assert json.loads(as_json(shown)) == shown


def test_the_page_tells_of_every_event() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| event |")[2].partition("\n\n")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert told == {*_TEXTS, "help"}
    assert set(REMARKS) <= told


def test_another_day_is_told_and_a_time_that_is_none_is_not() -> None:
    assert as_text(event("message", time=0), "ann") == time.strftime("%Y-%m-%d %H:%M bob: hi", time.localtime(0))
    for none in (None, "x", 1e300, float("inf"), -1e18):
        assert as_text(event("message", time=none), "ann") == "bob: hi"


@pytest.mark.parametrize(
    "shown",
    [
        event("message", text=EVIL),
        event("me", **{"from": EVIL}),
        event("private", text=EVIL),
        event("sent", to=EVIL),
        event("join", **{"from": EVIL}),
        event("joined", name=EVIL, room=EVIL, people=1),
        event("back", room=EVIL, missed=0),
        event("who", names=[EVIL]),
        event("rooms", rooms=[{"room": EVIL, "people": 1}]),
        event("held", text=EVIL),
        event("error", code=EVIL, message=EVIL),
    ],
    ids=lambda value: value["event"],
)
def test_no_control_character_is_shown_raw(shown: dict[str, Any]) -> None:
    text = as_text(shown, "ann")
    assert text is not None
    assert text.isprintable()
    assert "\\x1b[2J\\r\\n12:00 ann: forged\\u202e\\x07\\x85\\u2028" in text
    assert as_json(shown).isprintable()
    assert json.loads(as_json(shown)) == shown
