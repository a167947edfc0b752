"""`protocol.printable`: what came from elsewhere can be read, and can do nothing."""

from __future__ import annotations

import json
import sys

import pytest

from protocol.printable import printable, printable_json

#: What a terminal, a log's reader or an editor acts on, and how it is shown.
HOSTILE = {
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\x00": "\\x00",
    "\x07": "\\x07",
    "\x1b": "\\x1b",
    "\x7f": "\\x7f",
    "\x85": "\\x85",
    "\x9b": "\\x9b",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
    "\u202e": "\\u202e",
    "\u2066": "\\u2066",
    "\u200b": "\\u200b",
    "\ufeff": "\\ufeff",
    "\ud800": "\\ud800",
    "\U000e0041": "\\U000e0041",
}


@pytest.mark.parametrize(("char", "shown"), HOSTILE.items(), ids=ascii)
def test_what_could_act_is_an_escape(char: str, shown: str) -> None:
    assert printable(f"a{char}b") == f"a{shown}b"


def test_text_of_every_language_stays_as_it_is() -> None:
    for text in ("", "search morpheus", "Grüße, Ω, 漢字, עברית, العربية, 🐶 \\n"):
        assert printable(text) is text


def test_no_character_of_unicode_comes_through_that_is_not_printable() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = printable(everything)
    assert shown.isprintable()
    assert not set(shown) & set(HOSTILE)
    shown.encode()  # nor a surrogate


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abc..."),
        ("\x1b" * 3, 12, "\\x1b\\x1b\\x1b"),
        ("\x1b" * 3, 11, "\\x1b\\x1b..."),
        ("\x1b" * 10**6, 8, "\\x1b\\..."),
        ("abc", 2, "..."),
    ],
)
def test_length_is_bounded_as_shown(text: str, most: int, shown: str) -> None:
    assert printable(text, most) == shown


def test_what_is_asked_for_is_kept() -> None:
    assert printable("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\r\\x1b"


def test_json_is_readable_on_one_line_and_exact() -> None:
    value = {" ".join(HOSTILE): [" ".join(HOSTILE), "Grüße 🐶", 1.5, None]}
    text = printable_json(value)
    assert text.isprintable()
    assert "Grüße 🐶" in text
    assert json.loads(text) == value
    assert printable_json({"a": [1, "é"]}) == '{"a": [1, "é"]}'


def test_indented_json_keeps_its_own_line_breaks_and_no_others() -> None:
    value = {"a": " ".join(HOSTILE), "b": 2}
    first, middle, last, end = printable_json(value, indent=1).split("\n")
    assert (first, last, end) == ("{", ' "b": 2', "}")
    assert middle.isprintable()
    assert json.loads(printable_json(value, indent=1)) == value
