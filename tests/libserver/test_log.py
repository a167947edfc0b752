"""Is the log readable by people in one format and by machines in the other?"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import logging
import os
import select
import signal
import time
from collections.abc import Iterator

import pytest

import libserver.log
from libserver.log import FORMATS, LEVELS, flush_log, set_up_logging

log = logging.getLogger("multiconn.server")


@pytest.fixture
def stderr() -> Iterator[io.StringIO]:
    logger = logging.getLogger("multiconn")
    before = logger.handlers, logger.level, logger.propagate, logging.raiseExceptions
    yield io.StringIO()
    for handler in logger.handlers:
        if handler not in before[0]:
            handler.close()
    logger.handlers, logger.level, logger.propagate, logging.raiseExceptions = before


def set_up(stderr: io.StringIO, level: str, form: str) -> None:
    with contextlib.redirect_stderr(stderr):
        set_up_logging(level, form)


def written(stderr: io.StringIO) -> str:
    flush_log()
    return stderr.getvalue()


def fail() -> None:
    raise ValueError("the cause\nin two lines")


def test_information_comes_bare_and_trouble_with_time_and_level(stderr: io.StringIO) -> None:
    set_up(stderr, "info", "text")
    log.info("Listening on %s", "here")
    log.warning("trouble")
    log.debug("unseen")
    first, second = written(stderr).splitlines()
    assert first == "Listening on here"
    stamp, _, rest = second.partition(" ")
    assert rest == "warning: trouble"
    assert len(stamp) == len("2026-01-31T12:00:00")


def test_a_traceback_follows_its_line(stderr: io.StringIO) -> None:
    set_up(stderr, "error", "text")
    try:
        fail()
    except ValueError as error:
        log.error("a handler failed", exc_info=error)
    text = written(stderr)
    assert "error: a handler failed\n    Traceback" in text
    assert "\n    ValueError: the cause\n    in two lines\n" in text


def test_json_is_one_object_per_line_whatever_it_says(stderr: io.StringIO) -> None:
    set_up(stderr, "debug", "json")
    log.info("two\nlines 🐶 \ud800")
    try:
        fail()
    except ValueError as error:
        log.error("failed", exc_info=error)
    lines = written(stderr).splitlines()
    assert len(lines) == 2
    first, second = map(json.loads, lines)
    assert first["message"] == "two\nlines 🐶 \ud800"
    assert first["level"] == "info"
    assert first["logger"] == "multiconn.server"
    assert first["time"] > 1e9
    assert "ValueError: the cause" in second["traceback"]


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_lets_through_itself_and_what_is_graver(stderr: io.StringIO, level: str) -> None:
    set_up(stderr, level, "text")
    for name in LEVELS:
        log.log(getattr(logging, name.upper()), name)
    assert [line.split()[-1] for line in written(stderr).splitlines()] == list(LEVELS[LEVELS.index(level) :])


@pytest.mark.parametrize("form", FORMATS)
def test_a_log_that_can_not_be_written_harms_nobody(stderr: io.StringIO, form: str) -> None:
    set_up(stderr, "info", form)
    stderr.close()
    log.info("into the void")
    log.error("and more")


def test_setting_up_twice_does_not_log_twice(stderr: io.StringIO) -> None:
    for _ in range(2):
        set_up(stderr, "info", "text")
    log.info("once")
    assert written(stderr) == "once\n"


# --- a log that nobody reads -----------------------------------------------------------------


class Pipe:
    """A pipe that holds little, as a stream to log to, and its other end."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.stream = os.fdopen(writer, "w")

    def read_until(self, words: str) -> str:
        data = b""
        while words.encode() not in data:
            assert select.select([self.reader], [], [], 20)[0], f"{words!r} was not logged"
            data += os.read(self.reader, 1 << 16)
        return data.decode()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.reader)
        with contextlib.suppress(OSError):
            self.stream.close()


@pytest.fixture
def pipe(stderr: io.StringIO) -> Iterator[Pipe]:
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        pytest.skip("only Linux makes a pipe small")
    pipe = Pipe()
    with contextlib.redirect_stderr(pipe.stream):
        set_up_logging("info", "text")
    yield pipe
    pipe.close()


def test_nobody_waits_for_a_log_that_nobody_reads_and_what_is_lost_is_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libserver.log, "MOST_WAITING", 50_000)
    line = "x" * 999
    for n in range(200):
        log.info("%03d%s", n, line)
    text = pipe.read_until("nobody read it for a while\n")
    lines = text.splitlines()
    written = [int(line[:3]) for line in lines[:-1]]
    assert written == sorted(set(written))
    assert written[:50] == list(range(50))
    assert len(written) < 100
    assert f"warning: {200 - len(written)} lines of the log were lost" in lines[-1]
    log.info("read again")
    assert pipe.read_until("again\n") == "read again\n"


def test_the_end_waits_for_a_log_that_nobody_reads_only_so_long(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libserver.log, "FLUSH_WITHIN", 0.05)
    for _ in range(20):
        log.info("x" * 999)
    began = time.monotonic()
    flush_log()
    assert 0.05 <= time.monotonic() - began < 5
    pipe.read_until("\n")


def test_a_pipe_that_somebody_made_non_blocking_gets_every_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.stream.fileno(), False)
    for n in range(30):
        log.info("%d %s", n, "x" * 999)
    log.info("the end")
    assert len(pipe.read_until("the end\n").splitlines()) == 31


def test_a_reader_that_has_gone_harms_nobody(pipe: Pipe) -> None:
    os.close(pipe.reader)
    log.info("into the void")
    flush_log()
    log.info("and more")
    flush_log()


def test_a_line_may_be_logged_from_a_signal_handler_at_any_moment(stderr: io.StringIO) -> None:
    """Even in the middle of another: a lock held by what was interrupted would never be free."""
    set_up(stderr, "info", "text")
    caught: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        caught.append(number)
        log.info("from the handler")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        lines = 0
        while len(caught) < 50:
            log.info("a line")
            lines += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    texts = written(stderr).splitlines()
    assert texts.count("a line") == lines
    assert texts.count("from the handler") == len(caught)


# --- what came from elsewhere ----------------------------------------------------------------


HOSTILE = "\x1b]0;t\x07\r\x85\u2028\u202e\x9b\x7f\udc80"


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_peer_sent_can_neither_draw_nor_forge_a_line(stderr: io.StringIO, form: str) -> None:
    set_up(stderr, "info", form)
    log.warning("it said %s", f"{HOSTILE}\n2026-01-01T00:00:00 error: forged")
    try:
        raise ValueError(f"{HOSTILE}\n2026-01-01T00:00:00 error: forged")
    except ValueError as error:
        log.error("a handler failed", exc_info=error)
    text = written(stderr)
    lines = text.split("\n")[:-1]
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines if line.startswith("2026-01-01")]
    if form == "json":
        assert json.loads(lines[0])["message"] == f"it said {HOSTILE}\n2026-01-01T00:00:00 error: forged"
