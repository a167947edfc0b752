"""Which actions do clients call to subscribe and to publish?

Each is what push.md says of it, over `libserver.topics`: it takes the request's fields, asks whether this session
may, and returns the result. `Actions(topics=...)` registers them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol.errors import BadRequest

from .session import Session
from .sharing import Answer
from .topics import DEFAULT_LIMIT, HISTORY, PUBLISH, SUBSCRIBE, Topics

__all__ = ["LATER", "topic_handlers"]

Handler = Callable[..., object]


def _topic(request: dict[str, Any]) -> str:
    topic = request.get("topic")
    if not isinstance(topic, str):
        raise BadRequest("`topic` is the name of a topic, such as room/lobby")
    return topic


def _count(request: dict[str, Any]) -> int | None:
    limit = request.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise BadRequest("`limit` is a number from 0: that many at most")
    return limit


def _value(request: dict[str, Any]) -> object:
    if "value" not in request:
        raise BadRequest("publish needs a value: what is to be said")
    value: object = request["value"]
    return value


def _options(request: dict[str, Any]) -> dict[str, Any]:
    """Of a subscription."""
    return {
        "slow": request.get("slow", "cut"),
        "key": request.get("key"),
        "limit": request.get("limit", DEFAULT_LIMIT),
        "since": _since(request),
    }


def _since(request: dict[str, Any]) -> tuple[Any, Any] | None:
    since = request.get("since")
    if since is None:
        return None
    return (since.get("epoch"), since.get("seq")) if isinstance(since, dict) else (None, None)


#: Those that a backplane answers later.
LATER = frozenset({"subscribe", "publish", "history"})


def _later(topics: Topics) -> dict[str, Handler]:
    """Those of topics that are shared: they take `answer`, and call it when the backplane has answered."""

    def subscribe(request: dict[str, Any], session: Session, answer: Answer) -> None:
        session.subscribe_later(answer, _topic(request), **_options(request))

    def publish(request: dict[str, Any], session: Session, answer: Answer) -> None:
        topic = _topic(request)
        value = _value(request)
        topics.check(session, PUBLISH, topic)
        topics.publish_later(topic, value, session.name, answer)

    def history(request: dict[str, Any], session: Session, answer: Answer) -> None:
        topic = _topic(request)
        topics.check(session, HISTORY, topic)
        topics.history_later(topic, _count(request), answer)

    return {"subscribe": subscribe, "publish": publish, "history": history}


def topic_handlers(topics: Topics) -> dict[str, Handler]:
    """The handlers, by action."""

    def subscribe(request: dict[str, Any], session: Session) -> object:
        return session.subscribe(_topic(request), **_options(request))

    def unsubscribe(request: dict[str, Any], session: Session) -> object:
        topic = _topic(request)
        session.unsubscribe(topic)
        return {"topic": topic}

    def publish(request: dict[str, Any], session: Session) -> object:
        topic = _topic(request)
        value = _value(request)
        topics.check(session, PUBLISH, topic)
        receipt = topics.publish(topic, value, session.name)
        assert receipt is not None  # handlers of these run on the loop
        seq, subscribers = receipt
        return {"seq": seq, "subscribers": subscribers}

    def history(request: dict[str, Any], session: Session) -> object:
        topic = _topic(request)
        topics.check(session, HISTORY, topic)
        return topics.history(topic, _count(request))

    def members(request: dict[str, Any], session: Session) -> object:
        topic = _topic(request)
        topics.check(session, SUBSCRIBE, topic)
        return topics.members(topic)

    def names(request: dict[str, Any], session: Session) -> object:
        prefix = request.get("prefix", "")
        if not isinstance(prefix, str):
            raise BadRequest("`prefix` is what the names of topics begin with")
        limit = _count(request)
        known = [one for one in topics.names(prefix) if topics.may(session, SUBSCRIBE, one["topic"])]
        return known[:limit]

    handlers: dict[str, Handler] = {
        "subscribe": subscribe,
        "unsubscribe": unsubscribe,
        "publish": publish,
        "history": history,
        "members": members,
        "topics": names,
    }
    return {**handlers, **_later(topics)} if topics.shared else handlers
