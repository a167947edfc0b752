"""The chat on a terminal: the line being typed stays whole whatever arrives.

The terminal is tmux, whose screen can be read: what a person sees, not what was written.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from multiconn.commands import chat_terminal
from multiconn.commands.chat_terminal import wrapped
from tests.multiconn.commands.test_chat import command, house, target
from tests.support.peer import PATIENCE
from tests.support.server import Serving

ROOT = Path(__file__).resolve().parents[3]

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed: its screen can be read")
needs_editor = pytest.mark.skipif(
    not find_spec("prompt_toolkit"), reason="prompt_toolkit is not installed: the extra tui"
)


class Screens:
    """Terminals of a tmux of their own."""

    def __init__(self, socket: Path) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def start(self, name: str, columns: int, home: str, *words: str) -> None:
        """Somebody comes, on a terminal so wide."""
        chat = f"{sys.executable} {ROOT / 'app_client.py'} chat {home} --name {name} {' '.join(words)}"
        self._run("new-session", "-d", "-s", name, "-x", str(columns), "-y", "20", f"{chat}; echo code $?; cat")

    def types(self, name: str, text: str, *keys: str) -> None:
        self._run("send-keys", "-t", f"={name}:", "-l", text)
        for key in keys:
            self._run("send-keys", "-t", f"={name}:", key)

    def resize(self, name: str, columns: int) -> None:
        self._run("resize-window", "-t", f"={name}:", "-x", str(columns), "-y", "20")

    def screen(self, name: str) -> list[str]:
        """Its lines, without the times of day and the empty ones at the end."""
        lines = self._run("capture-pane", "-p", "-t", f"={name}:").rstrip("\n").split("\n")
        return [line[6:] if line[2:3] == ":" and line[5:6] == " " else line.rstrip() for line in lines]

    def sees(self, name: str, seen: Callable[[list[str]], object]) -> list[str]:
        """Wait until the screen is so."""
        deadline = time.monotonic() + PATIENCE
        while not seen(lines := self.screen(name)):
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.02)
        return lines

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def screens(tmp_path: Path) -> Iterator[Screens]:
    found = Screens(tmp_path / "tmux")
    yield found
    found.close()


@pytest.fixture
def home() -> Iterator[Serving]:
    with house() as home:
        yield home


def prompt_is(line: str) -> Callable[[list[str]], bool]:
    """Is this line being typed, at the bottom?"""
    return lambda lines: lines[-1] == f"> {line}".rstrip()


@needs_tmux
@needs_editor
@pytest.mark.parametrize("columns", [80, 40])
def test_what_arrives_stands_above_the_line_being_typed_which_stays_whole(
    screens: Screens, home: Serving, columns: int
) -> None:
    for name in ("ann", "bob"):
        screens.start(name, columns, target(home))
        screens.sees(name, prompt_is(""))
    screens.types("ann", "half of a li")
    screens.types("bob", "first of bob", "Enter")
    screens.types("bob", "the second one")
    screens.sees("ann", lambda lines: "bob: first of bob" in lines and prompt_is("half of a li")(lines))
    screens.types("ann", "ne", "Enter")
    lines = screens.sees("bob", lambda lines: "ann: half of a line" in lines and prompt_is("the second one")(lines))
    assert [line for line in lines if ":" in line] == ["bob: first of bob", "ann: half of a line"]
    screens.sees("ann", lambda lines: "ann: half of a line" in lines and prompt_is("")(lines))


@needs_tmux
@needs_editor
def test_it_comes_back_with_the_server_and_the_line_being_typed_is_still_there(screens: Screens) -> None:
    with command(0) as port:
        screens.start("ann", 60, f"127.0.0.1:{port}")
        screens.sees("ann", prompt_is(""))
        screens.types("ann", "before and")
        screens.sees("ann", prompt_is("before and"))
    screens.sees("ann", lambda lines: "-- the connection is lost; trying to get another" in lines)
    screens.types("ann", " after")
    with command(port):
        screens.sees("ann", lambda lines: any("back in lobby" in line for line in lines))
        screens.sees("ann", prompt_is("before and after"))
        screens.types("ann", "", "Enter")
        screens.sees("ann", lambda lines: "ann: before and after" in lines and prompt_is("")(lines))


@needs_tmux
@needs_editor
@pytest.mark.parametrize(("key", "code"), [("C-d", 0), ("C-c", 130), ("/quit", 0)])
def test_the_terminal_is_given_back(screens: Screens, home: Serving, key: str, code: int) -> None:
    screens.start("ann", 80, target(home))
    screens.sees("ann", prompt_is(""))
    screens.types("ann", *("", key) if key.startswith("C-") else (key, "Enter"))
    screens.sees("ann", lambda lines: f"code {code}" in lines)
    screens.types("ann", "cooked again", "Enter")
    screens.sees("ann", lambda lines: lines.count("cooked again") == 2)  # the terminal's echo, and cat's


@needs_tmux
@needs_editor
def test_commands_and_escapes_are_seen_and_a_paste_is_its_lines(screens: Screens, home: Serving) -> None:
    screens.start("ann", 80, target(home))
    screens.sees("ann", prompt_is(""))
    screens.types("ann", "/who", "Enter")
    screens.sees("ann", lambda lines: "-- in lobby: ann" in lines and "> /who" in lines)
    screens._run("set-buffer", "one\ntwo")
    screens._run("paste-buffer", "-p", "-t", "=ann:")
    screens.types("ann", "", "Enter")
    screens.sees("ann", lambda lines: lines[-3:] == ["ann: one", "ann: two", ">"])
    screens.resize("ann", 50)
    screens.types("ann", "narrower")
    screens.sees("ann", prompt_is("narrower"))


@needs_tmux
def test_plain_lines_on_a_terminal(screens: Screens, home: Serving) -> None:
    screens.start("ann", 80, target(home), "--plain")
    screens.sees("ann", lambda lines: any("you are ann" in line for line in lines))
    screens.types("ann", "hello", "Enter")
    screens.sees("ann", lambda lines: lines[-2:] == ["hello", "ann: hello"])
    screens.types("ann", "", "C-d")
    screens.sees("ann", lambda lines: "code 0" in lines)


@needs_editor
@pytest.mark.parametrize("talk", [False, True])
def test_it_ends_when_its_terminal_has_gone(home: Serving, talk: bool) -> None:
    """Whether it reads or writes next. It once waited for Enter there, for ever, with gigabytes of memory."""
    mine, its = pty.openpty()
    chat = [sys.executable, "app_client.py", "chat", target(home), "--name", "ann"]
    process = subprocess.Popen(chat, stdin=its, stdout=its, stderr=its, cwd=ROOT, start_new_session=True)
    os.close(its)
    try:
        said = b""
        while b"> " not in said.replace(b"\x08\x1b[2C", b" "):
            said += os.read(mine, 4096)
        if talk:  # something for it to write, at about the same time
            subprocess.run([*chat[:-1], "bob"], input=b"hello\n" * 50, cwd=ROOT, capture_output=True, check=True)
        os.close(mine)
        assert process.wait(PATIENCE) in (0, 2)
    finally:
        process.kill()
        process.wait()


def test_it_is_for_a_terminal_with_the_package_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_terminal, "find_spec", lambda name: None)
    assert not chat_terminal.can_edit()
    monkeypatch.setattr(chat_terminal, "find_spec", lambda name: name)
    assert chat_terminal.can_edit()


def test_a_long_line_is_broken_between_words_and_an_address_stays_whole() -> None:
    assert wrapped("short", 10) == "short"
    assert wrapped("bob: one two three", 10) == "bob: one\n  two\n  three"
    assert wrapped("bob: http://example.org/path", 10) == "bob:\n  http://example.org/path"
    assert wrapped("a help text\nof two lines", 10) == "a help text\nof two lines"
    assert wrapped("bob: one two three", 0) == "bob: one two three"
