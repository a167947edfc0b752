"""What is sent, and is the reply the right one?

A `Workload` is a cycle of prepared requests: encoded once, sent as the same bytes ever after. Each
knows the answer it must get, so every reply is compared with what *its* request asks for.

    search    the three entries in turn, or --value      the tutorial's answers, word for word
    echo      --value                                    the value
    confirm   --value                                    `Received: VALUE`, and the count of this connection
    others    --value                                    a JSON object with a `result` that is no error

Rules:

* Verification is of the decoded value, not of bytes: servers may order and space as they like.
* An error reply is `server_error` whatever was expected; a wrong answer is `verify_mismatch`; what
  can't be an answer at all (not JSON, not an object, no `result`) is `bad_content`.

Not here: framing errors (`load.blame`), mixes and sizes (later), when to send (`load.runner`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from ..outgoing import action_request
from .errors import BAD_CONTENT, SERVER_ERROR, VERIFY_MISMATCH

__all__ = ["DEFAULT_VALUE", "ENTRIES", "Prepared", "Workload"]

#: The tutorial's three entries: facts of its server, which ours repeats.
ENTRIES = {
    "morpheus": "Follow the white rabbit. \U0001f430",
    "ring": "In the caves beneath the Misty Mountains. \U0001f48d",
    "\U0001f436": "\U0001f43e Playing ball! \U0001f3d0",
}

#: What echo, confirm and unknown actions say when no value was given.
DEFAULT_VALUE = "hello"

SEARCH, ECHO, CONFIRM = "search", "echo", "confirm"

#: The longest part of a reply shown in an error's detail.
_SHOWN = 120

#: A verdict on a reply that is not right: the error's name and the details.
Blame = tuple[str, str]


class Prepared:
    """A request, ready to send, and what must come back.

    `expected` is the `result` of the right reply, None where it is not known. `counted`: the
    reply must also count this connection's requests.
    """

    __slots__ = ("action", "counted", "expected", "outgoing")

    def __init__(self, action: str, value: str, expected: str | None) -> None:
        self.action = action
        self.outgoing = action_request(action, value)
        self.expected = expected
        self.counted = action == CONFIRM

    def check(self, value: object, number: int) -> Blame | None:
        """None if `value`, a decoded reply, is right for the `number`th request (from 1) of its connection."""
        if not isinstance(value, dict):
            return BAD_CONTENT, f"{self.action}: the reply is not a JSON object: {_shown(value)}"
        if self.expected is not None and value.get("result") == self.expected and "error" not in value:
            if not self.counted or _is_count(value.get("count"), number):
                return None
            return VERIFY_MISMATCH, f"{self.action}: count {_shown(value.get('count'))} where {number} is right"
        if (complaint := _complaint(value)) is not None:
            return SERVER_ERROR, f"{self.action}: {complaint}"
        if "result" not in value:
            return BAD_CONTENT, f"{self.action}: the reply has no result: {_shown(value)}"
        if self.expected is None:
            return None
        return VERIFY_MISMATCH, f"{self.action}: {_shown(value['result'])} where {_shown(self.expected)} is right"


def _is_count(value: object, number: int) -> bool:
    return value.__class__ is int and value == number  # true equals 1 in Python, not in JSON


def _complaint(value: dict[str, object]) -> str | None:
    """What an error reply says, ours (`error`) or the tutorial's (`result: "Error: ..."`); None if it is none."""
    error = value.get("error")
    if isinstance(error, dict):
        return f"{error.get('code')}: {error.get('message')}"
    result = value.get("result")
    if error is not None:
        return _shown(error)
    return result if isinstance(result, str) and result.startswith("Error: ") else None


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def expected_result(action: str, value: str) -> str | None:
    """The right `result` of a request, or None where only the application knows."""
    if action == SEARCH:
        return ENTRIES.get(value, f"No match for '{value}'.")
    if action == ECHO:
        return value
    if action == CONFIRM:
        return f"Received: {value}"
    return None


class Workload:
    """A cycle of prepared requests, the same whoever asks: `take` continues where it left off."""

    __slots__ = ("_cycle", "action", "requests", "values")

    def __init__(self, action: str = SEARCH, value: str | None = None) -> None:
        self.action = action
        self.values: Sequence[str]
        if value is not None:
            self.values = (value,)
        else:
            self.values = tuple(ENTRIES) if action == SEARCH else (DEFAULT_VALUE,)
        self.requests = tuple(Prepared(action, v, expected_result(action, v)) for v in self.values)
        self._cycle = cycle(self.requests)

    def take(self, count: int) -> Iterator[Prepared]:
        """The next `count` requests."""
        return islice(self._cycle, count)

    def next(self) -> Prepared:
        """The next request."""
        return next(self._cycle)

    def fingerprint(self, *schedule: object) -> str:
        """SHA-256 over what is sent and `schedule` (how it is paced): equal for equal offered loads."""
        digest = hashlib.sha256(json.dumps(schedule).encode())
        for request in self.requests:
            digest.update(b"".join(request.outgoing.framed))
        return digest.hexdigest()
