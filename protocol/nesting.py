"""Is a JSON text nested deeper than it may be, before anybody reads it?

The scanner would say so itself, but how deep is too deep for it depends on the interpreter: on its recursion limit and
on what else is on the stack (3.11), or on a number of its own of several thousand (3.12 and later). And so deep
a value costs a frame per level once more in whoever encodes, copies or shows it.

Rules:

* A text that holds no more opening brackets than there may be levels is not looked at further, and
  one too short for them not at all: ordinary contents cost a comparison, or two counts.
* Exact for JSON. Of what is no JSON it may say anything: it is refused either way.
* Time in proportion to the text, whatever it is: it comes from a peer.

Not here: the limit (`protocol.limits`), what is answered (`protocol.content`). Headers are checked once
they are read (`protocol.frames`): they are small.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, chain
from operator import sub

__all__ = ["is_deeper_than"]

_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))


def is_deeper_than(levels: int, text: str) -> bool:
    """Does `text`, which is JSON, hold a value within more than `levels` arrays and objects?"""
    if len(text) <= 2 * levels or text.count("[") + text.count("{") <= levels:
        return False
    return _depth(_brackets(text.encode("utf-8", "replace"))) > levels


def _brackets(text: bytes) -> bytes:
    """The brackets outside of strings, all of one kind."""
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(
            rb"\"", b""
        )  # in this order: a run of them goes in pairs from its front
    brackets = text.translate(_ONE_KIND, _NEITHER_BRACKET_NOR_QUOTE)
    # If all quotes stand in pairs with no bracket between, then an even number stands before each
    # bracket, and none is in a string. That is how nearly all texts are.
    plain = brackets.replace(b'""', b"")
    if b'"' in plain:
        plain = b"".join(brackets.split(b'"')[::2])
    return plain


def _depth(brackets: bytes) -> int:
    """How deep brackets are nested.

    A pass takes the innermost pairs away, and with them one level. Wide texts are soon gone; what
    shrinks slowly consists of long runs of one bracket, of which there are few.
    """
    levels = 0
    while brackets:
        outer = brackets.replace(b"[]", b"")
        if len(outer) > len(brackets) * 3 // 4:
            return levels + _depth_of_runs(brackets)
        brackets = outer
        levels += 1
    return levels


def _depth_of_runs(brackets: bytes) -> int:
    opened = accumulate(_lengths(brackets.replace(b"]", b" ").split()))
    closed = accumulate(chain((0,), _lengths(brackets.replace(b"[", b" ").split())))
    return max(map(sub, opened, closed), default=0)


def _lengths(runs: list[bytes]) -> Iterable[int]:
    return map(len, runs)
