"""Tests of the actions that clients call: their names, and that each asks whether it may. What they do: test_topics."""

from __future__ import annotations

from typing import Any

import pytest

from libserver import ActionError, Actions, Session, Topics
from libserver.topic_actions import topic_handlers
from protocol.errors import BadRequest


def handlers(may: Any = None) -> dict[str, Any]:
    return topic_handlers(Topics(may))


def test_they_are_those_of_the_contract() -> None:
    names = ["subscribe", "unsubscribe", "publish", "history", "members", "topics"]
    assert [*handlers()] == names
    assert Actions(builtin=False, topics=Topics()).names == names
    assert "subscribe" not in Actions().names


def test_a_program_s_own_action_takes_the_place_of_one() -> None:
    actions = Actions(topics=Topics())
    actions.add("publish")(lambda request: "mine")
    assert actions.plain["publish"]({}) == "mine"


@pytest.mark.parametrize("action", ["publish", "history", "members"])
def test_each_asks_whether_this_session_may(action: str) -> None:
    session = Session("peer")
    with pytest.raises(ActionError) as caught:
        handlers(lambda *asked: False)[action]({"topic": "t", "value": 1}, session)
    assert caught.value.code == "forbidden"


@pytest.mark.parametrize("action", ["subscribe", "unsubscribe", "publish", "history", "members"])
@pytest.mark.parametrize("topic", [None, 7, ["t"], {}])
def test_a_topic_is_text(action: str, topic: object) -> None:
    with pytest.raises(BadRequest, match="`topic` is the name of a topic"):
        handlers()[action]({"topic": topic, "value": 1}, Session("peer"))


def test_publishing_gives_a_receipt_and_says_who_it_was() -> None:
    made = handlers()
    session = Session("peer")
    session.name = "ann"
    assert made["publish"]({"topic": "t", "value": [1]}, session) == {"seq": 1, "subscribers": 0}
    assert made["history"]({"topic": "t"}, session)["messages"] == [{"seq": 1, "value": [1], "from": "ann"}]
