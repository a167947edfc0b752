"""`multiconn.commands.output`: nothing a peer sends can draw on the terminal."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from libclient import Answer
from multiconn.commands.output import remark, save, show_binary, show_json, show_text
from protocol import Header


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_remarks_are_one_line_whatever_they_quote(capsys: pytest.CaptureFixture[str]) -> None:
    remark("it said: a\nb\x1b[31m\x00 é 🐶")
    assert capsys.readouterr().err == "it said: a\\nb\\x1b[31m\\x00 é 🐶\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("plain", "plain\n"), (1, "1\n"), (None, "null\n"), ({"ü": ["🐶"]}, '{"ü": ["🐶"]}\n'), ("a\nb", "a\nb\n")],
)
def test_texts_are_plain_and_the_rest_is_json(value: object, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_json(value)
    assert capsys.readouterr().out == shown


def test_control_characters_reach_a_pipe_and_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((io.StringIO(), "a\x1b[2J\tb\n"), (Terminal(), "a\\x1b[2J\tb\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        show_text("a\x1b[2J\tb")
        assert stream.getvalue() == shown


@pytest.mark.parametrize("content", [b"\x00\xff\x1b", bytearray(b"\x00\xff\x1b")])
def test_binary_is_described(content: Any, capsys: pytest.CaptureFixture[str]) -> None:
    show_binary(Answer(content, Header("binary/x", "binary", 3)))
    assert capsys.readouterr().out == "3 bytes of binary/x: b'\\x00\\xff\\x1b'\n"


def test_long_binary_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_binary(Answer(bytes(10**6), Header("binary/x", "binary", 10**6)))
    out = capsys.readouterr().out
    assert out.startswith("1000000 bytes of binary/x: b'\\x00")
    assert out.endswith("(-o PATH saves them all)\n")
    assert len(out) < 1000


def test_bytes_are_saved_as_they_are(tmp_path: Any) -> None:
    save(b"\x00\xff", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b"\x00\xff"
