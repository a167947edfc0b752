"""How does a person type a line while others talk, without one tearing the other?

prompt_toolkit (the extra `tui`) keeps the line being typed at the bottom; what comes is written above it. It runs in a
thread of its own, with an event loop of its own, for as long as the chat: a prompt for each line would lose what
comes between two.

Rules:

* The terminal is given back whatever happens, and what is still to be shown is written then.
* Ctrl-D ends the input, Ctrl-C interrupts: both are keys here, and are handed to the loop.
* A terminal that has gone ends the input, too, whether a read or a write finds that out.

Not here: what a line means (`chat_room`), input that is no terminal (`chat_lines`).
"""

from __future__ import annotations

import os
import sys
import textwrap
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from eventloop import EventLoop

__all__ = ["Terminal", "can_edit", "wrapped"]

PROMPT = "> "

#: Seconds for prompt_toolkit to give the terminal back. On one that has gone it never comes to an end, and turns its
#: loop for ever; its thread is a daemon, which ends with us.
PATIENCE = 2.0


def can_edit() -> bool:
    """Is the package there that this needs?"""
    return find_spec("prompt_toolkit") is not None


class Terminal:
    """The terminal that standard input and output are. On the loop, `lines` gets a list of lines, `ended` is called at
    Ctrl-D and `interrupted` at Ctrl-C.
    """

    def __init__(
        self,
        loop: EventLoop,
        lines: Callable[[list[str]], object],
        ended: Callable[[], object],
        interrupted: Callable[[], object],
    ) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory

        self._loop = loop
        self._lines = lines
        self._ended = ended
        self._interrupted = interrupted
        self._session: PromptSession[str] = PromptSession(PROMPT, history=InMemoryHistory())
        self._session.default_buffer.accept_handler = self._accept
        self._texts: list[str] = []  # to be written
        self._lock = threading.Lock()
        self._running = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()
        self._started.wait()

    def more(self) -> None:
        """There is room for more lines: a person types no faster."""

    def write(self, text: str) -> None:
        """Write `text` above the line being typed."""
        with self._lock:
            self._texts.append(text)
            if self._running and len(self._texts) == 1:
                self._on_its_loop(self._write_above)

    def close(self) -> None:
        """Give the terminal back."""
        with self._lock:
            if self._running:
                self._on_its_loop(self._exit)
        self._thread.join(PATIENCE)
        self._write_all()

    # --- in the thread ---------------------------------------------------------------------

    def _run(self) -> None:
        then = self._ended
        try:
            # Its own way with an exception is to wait for Enter, for ever and with ever more memory once the
            # terminal has gone.
            self._session.prompt(pre_run=self._has_started, handle_sigint=False, set_exception_handler=False)
        except Exception:  # EOFError; or what a terminal that has gone says: OSError, termios.error
            pass
        except KeyboardInterrupt:
            then = self._interrupted
        finally:
            with self._lock:
                self._running = False
            self._started.set()
        self._loop.call_soon_threadsafe(then)

    def _has_started(self) -> None:
        loop = self._session.app.loop
        if loop is not None:
            loop.set_exception_handler(lambda loop, context: self._exit())
        with self._lock:
            self._running = True
        self._started.set()

    def _accept(self, buffer: Any) -> bool:
        """Enter was pressed: the line is empty again."""
        lines = buffer.text.splitlines()
        for line in lines:
            if line.startswith("/"):
                self.write(f"{PROMPT}{line}")  # else only its answer would be seen
        self._loop.call_soon_threadsafe(self._lines, lines)
        return False

    def _on_its_loop(self, call: Callable[[], object]) -> None:
        loop = self._session.app.loop
        if loop is not None:
            loop.call_soon_threadsafe(call)

    def _exit(self) -> None:
        if self._session.app.is_running and not self._session.app.is_done:
            self._session.app.exit(exception=EOFError)

    def _write_above(self) -> None:
        from prompt_toolkit.application import run_in_terminal

        run_in_terminal(self._write_all)

    def _write_all(self) -> None:
        with self._lock:
            texts, self._texts = self._texts, []
        if texts:
            try:
                columns = os.get_terminal_size(sys.stdout.fileno()).columns  # not $COLUMNS: it may be another's
                sys.stdout.write("".join(f"{wrapped(text, columns)}\n" for text in texts))
                sys.stdout.flush()
            except OSError:
                self._exit()  # the terminal has gone: there is nothing to be written on


def wrapped(text: str, columns: int) -> str:
    """Broken between words where it is longer than the terminal is wide; a longer word, an address say, stays whole."""
    if len(text) <= columns or "\n" in text or columns < 1:  # 0: a terminal that does not say
        return text
    return textwrap.fill(text, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
