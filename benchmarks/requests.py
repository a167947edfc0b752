"""What is asked, and what is the right answer?

A `Variant` is a request's frame and what its reply must be. The generator sends the variants of a
load in turn and compares every reply with them, byte for byte. What is right is worked out here
from docs/look-up/wire.md alone, by `json.dumps`: neither by our encoder nor by a peer's.

Mixed requests are 256 different ones of one ordinary client: values, languages and lengths differ,
so `content-length` does, and the writing is always the same. Varied requests differ in all that a
fast path could be tempted to rely on, as if each came from another client: action, order of keys
(header and content), spacing, escapes, types of value, length. Much of what those cost is spent in
json's own C functions, the same for every server in Python; so they bring the servers closer.
Everything is seeded: each run asks the same.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["Variant", "blocking", "echoed", "mixed", "odd", "pack", "repeated", "special", "varied", "with_ids"]

MIXED = 256
SEED = 20240615

ANSWERS = {
    "morpheus": "Follow the white rabbit. \N{RABBIT FACE}",
    "ring": "In the caves beneath the Misty Mountains. \N{RING}",
    "\N{DOG FACE}": "\N{PAW PRINTS} Playing ball! \N{VOLLEYBALL}",
}
WORDS = ["morpheus", "ring", "\N{DOG FACE}", "grüße", "Ελλάδα", "здравствуй", "東京", "שלום", "naïve", "coöperate"]
WORDS += ["rabbit", "needle", "haystack", "lantern", "harbour", "meadow", "7", "\N{SNOWMAN}", "quay", "ångström"]
#: `json.dumps` separators: Python's own, compact, and some that people write by hand.
SPACINGS = [(", ", ": "), (",", ":"), (", ", ":"), (" , ", " : "), (",\n  ", ": ")]


class Variant(NamedTuple):
    """A request's frame, its reply's content, and a text that must stand in the reply's header."""

    request: bytes
    content: bytes
    header_text: bytes = b""


def pack(variants: Iterable[Variant]) -> bytes:
    """The generator's file: each part with its length before it, 32 bits, little-endian."""
    return b"".join(struct.pack("<I", len(part)) + part for variant in variants for part in variant)


def frame(content: bytes, fields: dict[str, Any], spacing: tuple[str, str] = (", ", ": ")) -> bytes:
    """A message. `fields` are the header's in the order they shall stand in; None: say the content's length there."""
    filled = {name: len(content) if value is None else value for name, value in fields.items()}
    header = json.dumps(filled, separators=spacing, ensure_ascii=False).encode()
    return struct.pack(">H", len(header)) + header + content


def _fields(keep: bool, encoding: str = "utf-8", **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "byteorder": "little",
        "content-type": "text/json",
        "content-encoding": encoding,
        "content-length": None,
    }
    if keep:
        fields["connection"] = "keep-alive"
    return fields | more


def answered(request: dict[str, Any]) -> bytes:
    """The right reply, after docs/look-up/wire.md. A search is for a string; other actions than echo exist not."""
    action, value = request["action"], request["value"]
    reply: dict[str, Any]
    if action == "search":
        reply = {"result": ANSWERS.get(value) or f"No match for '{value}'."}
    elif action == "echo":
        reply = {"result": value}
    else:
        message = f"invalid action '{action}'."
        reply = {"result": f"Error: {message}", "error": {"code": "unknown-action", "message": message}}
    return json.dumps(reply, ensure_ascii=False).encode()


JSON_TEXT = b'"content-type": "text/json"'


def repeated(keep: bool = True) -> list[Variant]:
    """The tutorial's own request. Without `keep` it says nothing of the connection, as the tutorial does."""
    request = {"action": "search", "value": "morpheus"}
    content = json.dumps(request, ensure_ascii=False).encode()
    return [Variant(frame(content, _fields(keep)), answered(request), JSON_TEXT)]


def mixed(count: int = MIXED) -> list[Variant]:
    """Different searches and echoes, as one client library writes them."""
    return [
        Variant(frame(content, _fields(True)), answered(request), JSON_TEXT)
        for request, content in _ordinary(random.Random(SEED), count)
    ]


def with_ids(count: int = MIXED) -> list[Variant]:
    """Such requests, each with an `id` of its own: numbers and strings."""
    variants = []
    for number, (request, content) in enumerate(_ordinary(random.Random(SEED + 1), count)):
        id = 100_000 + number if number % 2 else f"request-{number}"
        text = f'"id": {json.dumps(id)}'.encode()
        variants.append(Variant(frame(content, _fields(True, id=id)), answered(request), text))
    return variants


#: One request in so many is special.
ONE_IN = 8
#: What this project says of such an encoding.
UNKNOWN_ENCODING = "content-encoding 'rot13' is not a text encoding known here; use utf-8"


def special(kind: str) -> list[Variant]:
    """The tutorial's own request, and in `ONE_IN` of them one that the usual way is not made for."""
    usual = repeated()[0]
    content = json.dumps({"action": "search", "value": "morpheus"}).encode()
    if kind == "deadline":
        one = usual._replace(request=frame(content, _fields(True, **{"deadline-ms": 60_000})))
    elif kind == "session":
        one = _told_back("remember")
    else:
        reply = {
            "result": f"Error: {UNKNOWN_ENCODING}",
            "error": {"code": "unsupported-encoding", "message": UNKNOWN_ENCODING},
        }
        one = Variant(frame(content, _fields(True, kind)), json.dumps(reply).encode(), JSON_TEXT)
    return [usual] * (ONE_IN - 1) + [one]


def blocking() -> list[Variant]:
    """A request that a thread answers at once."""
    return [_told_back("at once")]


def _told_back(action: str) -> Variant:
    """Of `benchmarks/applications/special_actions.py`, whose actions answer with the value."""
    content = json.dumps({"action": action, "value": "morpheus"}).encode()
    return Variant(frame(content, _fields(True)), json.dumps({"result": "morpheus"}).encode(), JSON_TEXT)


def varied(count: int = MIXED) -> list[Variant]:
    """Different requests, each as another client would write it."""
    chance = random.Random(SEED)
    variants = []
    for request in _requests(chance, count):
        content = _written(chance, request)
        fields = _shuffled(chance, _fields(True))
        variants.append(Variant(frame(content, fields, chance.choice(SPACINGS)), answered(request), JSON_TEXT))
    return variants


def odd(count: int = MIXED) -> list[Variant]:
    """Varied requests in other encodings, and with white space around the content."""
    chance = random.Random(SEED + 2)
    variants = []
    for number, request in enumerate(_requests(chance, count)):
        encoding = ("utf-16", "utf-8", "utf-32-be", "UTF8")[number % 4]
        text = _written(chance, request).decode()
        content = (" " * (number % 3) + text + "\n" * (number % 2)).encode(encoding)
        fields = _shuffled(chance, _fields(True, encoding))
        variants.append(Variant(frame(content, fields, chance.choice(SPACINGS)), answered(request), JSON_TEXT))
    return variants


def echoed(size: int) -> list[Variant]:
    """So many random bytes, there and back."""
    content = random.Random(SEED + size).randbytes(size)
    fields = _fields(True, "binary") | {"content-type": "binary/echo"}
    return [Variant(frame(content, fields), content, b'"content-type": "binary/echo"')]


def _ordinary(chance: random.Random, count: int) -> list[tuple[dict[str, Any], bytes]]:
    """Requests, none twice, and their contents. All that can be found is asked for; most is not to be found."""
    asked = dict.fromkeys(("search", entry) for entry in ANSWERS)
    while len(asked) < count:
        asked[chance.choice(("search", "echo")), " ".join(chance.choices(WORDS, k=chance.randint(1, 12)))] = None
    pairs = list(asked)[:count]
    chance.shuffle(pairs)
    requests = [{"action": action, "value": value} for action, value in pairs]
    return [(request, json.dumps(request, ensure_ascii=False).encode()) for request in requests]


def _requests(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Half searches, of which some find something; most others echo; a few ask for what does not exist."""
    requests: list[dict[str, Any]] = []
    for number in range(count):
        words = " ".join(chance.choices(WORDS, k=chance.randint(1, 12)))
        if number % 16 == 0:
            requests.append({"action": f"action-{number}", "value": words})
        elif number % 8 == 1:
            requests.append({"action": "search", "value": chance.choice(list(ANSWERS))})
        elif number % 2:
            requests.append({"action": "search", "value": words})
        else:
            requests.append({"action": "echo", "value": _value(chance, words)})
    return requests


def _value(chance: random.Random, words: str) -> object:
    values: Sequence[object] = (
        words,
        words + ' "quoted", a \\ and a\nline',
        chance.randint(-(10**9), 10**9),
        chance.random() < 0.5,
        None,
        words.split(),
        {"name": words, "numbers": [1, 2.5, -3], "nested": {"empty": [], "none": {}}},
    )
    return chance.choice(values)


def _written(chance: random.Random, request: dict[str, Any]) -> bytes:
    """As one of many clients would write it."""
    return json.dumps(
        _shuffled(chance, request), separators=chance.choice(SPACINGS), ensure_ascii=chance.random() < 0.3
    ).encode()


def _shuffled(chance: random.Random, fields: dict[str, Any]) -> dict[str, Any]:
    names = list(fields)
    chance.shuffle(names)
    return {name: fields[name] for name in names}
