"""Which requests leave, and is each reply right?

A `Workload` is a set of prepared requests and the order they are sent in: encoded once, sent as the
same bytes ever after. Each knows the answer it must get, so every reply is compared with what *its*
request asks for.

    search    the three entries in turn, or --value      the tutorial's answers, word for word
    echo      --value, or texts of --size                the value
    confirm   the same                                   `Received: VALUE`, and the count of this connection
    others    the same                                   a JSON object with a `result` that is no error
    --data    the file's lines in turn                   the same, or what the line expects

Rules:

* Verification is of the decoded value, not of bytes: servers may order and space as they like.
  But the bytes of a reply that was verified are right again when they come again for the same
  request (`right`), and to compare them costs a tenth of decoding them.
* An error reply is `server_error` whatever was expected; a wrong answer is `verify_mismatch`; what
  can't be an answer at all (not JSON, not an object, no `result`) is `bad_content`.
* `--verify frame` wants a whole reply that is no error, `off` a whole reply. Both make a broken
  server look fast; the default is neither.
* One action with values of equal weight takes them in turn; anything else is drawn by weight, from the
  seed. Sizes of a range are `SIZES` of its values, evenly spread: every one would fill the memory.
* No file is read here: what a data file says comes as `Data`.

Not here: reading it (`engine.data_file`), framing errors (`judge.classify_error`), when to send (`engine.schedule`).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from itertools import chain, cycle
from typing import Any

from libclient.outgoing import Outgoing, json_request
from protocol import JSON_ENCODING, JSON_TYPE
from protocol.shown import shown

from ..config import FRAME, FULL, OFF, Config, Data, Size
from ..measure.errors import BAD_CONTENT, SERVER_ERROR, VERIFY_MISMATCH
from .data_file import BadData

__all__ = ["DEFAULT_VALUE", "ENTRIES", "Context", "Fault", "Prepared", "Workload", "expected_result", "read_data"]

#: The tutorial's three entries: facts of its server, which ours repeats.
ENTRIES = {
    "morpheus": "Follow the white rabbit. \U0001f430",
    "ring": "In the caves beneath the Misty Mountains. \U0001f48d",
    "\U0001f436": "\U0001f43e Playing ball! \U0001f3d0",
}

#: What echo, confirm and unknown actions say when no value was given.
DEFAULT_VALUE = "hello"

SEARCH, ECHO, CONFIRM = "search", "echo", "confirm"

#: How many different sizes stand for a range of them.
SIZES = 64

#: The longest part of a reply shown in an error's detail.
_SHOWN = 120

#: Numbers drawn at a time.
_DRAWN = 256

#: What is wrong with a reply that is not right: the error's name and the details.
Fault = tuple[str, str]


# --- one request -----------------------------------------------------------------------


class Prepared:
    """A request, ready to send, and what must come back.

    `expected` is the `result` of the right reply, None where it is not known. `counted`: the
    reply must also count this connection's requests. `right` is a whole frame that was found
    to be the right reply, once there is one; None for ever where two right replies differ.
    """

    __slots__ = ("_last", "action", "counted", "expected", "learns", "outgoing", "right", "verify")

    def __init__(
        self, action: str, value: object, expected: object, verify: str = FULL, content: object = None
    ) -> None:
        self.action = action
        self.outgoing = json_request({"action": action, "value": value} if content is None else content)
        self.expected = expected
        self.counted = action == CONFIRM and isinstance(value, str)
        self.verify = verify
        self.right: bytes | None = None
        self.learns = not (self.counted and verify == FULL)
        self._last: Outgoing | None = None

    @property
    def last(self) -> Outgoing:
        """The same request, saying that it is the connection's last."""
        if self._last is None:
            self._last = Outgoing(JSON_TYPE, self.outgoing.content, JSON_ENCODING, last=True)
        return self._last

    def learn(self, frame: bytes) -> None:
        """`frame` was verified: it is right whenever it comes again."""
        self.learns = False  # once: if a server's right replies differ, we would learn for ever
        self.right = frame

    def check(self, value: object, number: int) -> Fault | None:
        """None if `value`, a decoded reply, is right; it is the `number`th reply of its connection that counts."""
        if self.verify == OFF:
            return None
        if not isinstance(value, dict):
            return BAD_CONTENT, f"{self.action}: the reply is not a JSON object: {_shown(value)}"
        if self.verify == FRAME:
            complaint = _complaint(value)
            return None if complaint is None else (SERVER_ERROR, f"{self.action}: {complaint}")
        if self.expected is not None and "error" not in value and same(value.get("result"), self.expected):
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


#: A request's context: what must come back, when it was sent, and when it was meant to be (ns).
Context = tuple[Prepared, int, int]


def same(value: object, expected: object) -> bool:
    """Equal as JSON: `true` is not 1 there, and the order of an object's names means nothing."""
    if isinstance(value, str) or isinstance(expected, str):
        return value == expected
    return json.dumps(value, sort_keys=True) == json.dumps(expected, sort_keys=True)


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


def expected_result(action: str, value: object) -> object:
    """The right `result` of a request, or None where only the application knows."""
    if action == ECHO:
        return value
    if not isinstance(value, str):
        return None
    if action == SEARCH:
        return ENTRIES.get(value, f"No match for '{shown(value)}'.")
    if action == CONFIRM:
        return f"Received: {shown(value)}"
    return None


# --- all of them -------------------------------------------------------------------------


class Workload:
    """The requests of a run and the order they are sent in."""

    __slots__ = ("_seed", "_weights", "actions", "requests")

    def __init__(self, config: Config) -> None:
        self.requests: tuple[Prepared, ...]
        self._weights: list[float] | None = None  # None: in turn
        if config.data is not None:
            self.requests = tuple(read_data(config.data, config.verify))
        else:
            self._prepare(config)
        self.actions = tuple(dict.fromkeys(request.action for request in self.requests))
        self._seed = None if self._weights is None else config.seed  # what is sent in turn leaves nothing to chance

    @property
    def unknown(self) -> tuple[str, ...]:
        """The actions with a request to which only the application knows the right answer."""
        return tuple(dict.fromkeys(request.action for request in self.requests if request.expected is None))

    def _prepare(self, config: Config) -> None:
        made, weights = [], []
        for action, weight in config.mix or ((config.action, 1.0),):
            values = _values(action, config.value, config.sizes)
            whole = sum(w for _, w in values)
            for value, w in values:
                made.append(Prepared(action, value, expected_result(action, value), config.verify))
                weights.append(weight * w / whole)
        self.requests = tuple(made)
        if config.mix or len(set(weights)) > 1:
            self._weights = weights

    def numbers(self, seed: object) -> Iterator[int]:
        """The endless order, as indices of `requests`: the same for the same seed."""
        indices = range(len(self.requests))
        if self._weights is None:
            return cycle(indices)
        draw, weights = random.Random(f"kinds {seed}").choices, self._weights
        blocks: Iterator[list[int]] = iter(lambda: draw(indices, weights, k=_DRAWN), [])
        return chain.from_iterable(blocks)

    def endless(self, seed: object) -> Iterator[Prepared]:
        """The endless order, as requests."""
        return map(self.requests.__getitem__, self.numbers(seed))

    def fingerprint(self, *schedule: object) -> str:
        """SHA-256 over what is sent and `schedule` (how it is paced): equal for equal offered loads."""
        digest = hashlib.sha256(json.dumps([schedule, self._weights, self._seed]).encode())
        for request in self.requests:
            digest.update(b"".join(request.outgoing.framed))
        return digest.hexdigest()


def _values(action: str, value: str | None, sizes: Sequence[Size]) -> list[tuple[str, float]]:
    """The texts an action is sent with, and their weights."""
    if sizes and action != SEARCH:
        return [(_text(size), weight) for size, weight in _spread(sizes)]
    if value is not None:
        return [(value, 1.0)]
    return [(entry, 1.0) for entry in ENTRIES] if action == SEARCH else [(DEFAULT_VALUE, 1.0)]


def _spread(sizes: Sequence[Size]) -> Iterator[tuple[int, float]]:
    for low, high, weight in sizes:
        count = min(SIZES, high - low + 1)
        for step in range(count):
            yield low + (high - low) * step // max(count - 1, 1), weight / count


def _text(size: int) -> str:
    """A text of so many bytes, no two of which of different sizes begin alike for long."""
    word = f"{size:x}-"
    return (word * (size // len(word) + 1))[:size]


def read_data(data: Data, verify: str) -> list[Prepared]:
    """The requests of a `--data` file: a line is the request's content, but for `expect`, its right result.

    Raises `BadData`.
    """
    try:
        lines = data.content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise BadData(f"{data.name} is not UTF-8 ({error.reason}); write it as UTF-8") from error
    made = [_from_line(line, f"{data.name}:{number}", verify) for number, line in enumerate(lines, 1) if line.strip()]
    if not made:
        raise BadData(f"{data.name} has no requests: write one JSON object with an action per line")
    return made


def _from_line(line: str, where: str, verify: str) -> Prepared:
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadData(f"{where} is not JSON ({error}); write one JSON object per line") from error
    if not isinstance(content, dict) or not isinstance(content.get("action"), str):
        raise BadData(f'{where} is no request: write an object such as {{"action": "echo", "value": 1}}')
    expects = "expect" in content
    expect = content.pop("expect", None)
    action, value = content["action"], content.get("value")
    try:
        return Prepared(action, value, expect if expects else expected_result(action, value), verify, content)
    except (ValueError, TypeError) as error:
        raise BadData(f"{where} can't be sent ({error})") from error
