"""Is the log readable by people in one format and by machines in the other?"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import logging
import logging.config
import os
import re
import select
import signal
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from multiconn.commands import server_log
from multiconn.commands.server_log import ANSWERS, FORMATS, LEVELS, Writer, check_logging, flush_log, set_up_logging
from tests.support.server import logging_as_before

log = logging.getLogger("multiconn.server")
answers = logging.getLogger(ANSWERS)


@pytest.fixture
def stderr() -> Iterator[io.StringIO]:
    with logging_as_before():
        yield io.StringIO()


def set_up(stderr: io.StringIO, level: str, form: str) -> None:
    with contextlib.redirect_stderr(stderr):
        set_up_logging(level, form)


def written(stderr: io.StringIO) -> str:
    flush_log()
    return stderr.getvalue()


def fail() -> None:
    raise ValueError("the cause\nin two lines")


def test_what_was_asked_for_comes_bare_and_all_else_with_time_and_level(stderr: io.StringIO) -> None:
    set_up(stderr, "info", "text")
    answers.info("Listening on %s", "here")
    log.info("news")
    log.warning("trouble")
    log.debug("unseen")
    first, *others = written(stderr).splitlines()
    assert first == "Listening on here"
    stamps, texts = zip(*(line.split(" ", 1) for line in others), strict=True)
    assert texts == ("info: news", "warning: trouble")
    for stamp in stamps:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", stamp)
        assert abs(datetime.fromisoformat(stamp).timestamp() - time.time()) < 3600 * 25


def test_fields_stand_behind_the_words_and_in_the_object(stderr: io.StringIO) -> None:
    fields = {"event": "met", "peer": "[::1]:5", "seconds": 0.25, "words": "two words", "quote": 'a"b', "none": None}
    for form in FORMATS:
        set_up(stderr, "info", form)
        log.warning("met %s", "it", extra=fields)
        flush_log()
    text, line = written(stderr).splitlines()
    assert text.endswith(
        ' warning: met it; event=met peer=[::1]:5 seconds=0.25 words="two words" quote="a\\"b" none=None'
    )
    found = json.loads(line)
    assert {name: found[name] for name in fields} == fields
    assert [*found][:4] == ["time", "level", "logger", "message"]


class NoWords:
    def __str__(self) -> str:
        raise RuntimeError("none")


def test_whatever_a_field_is_it_costs_no_line(stderr: io.StringIO) -> None:
    circle: list[object] = []
    circle.append(circle)
    fields = {"time": "not ours", "list": [1], "circle": circle, "nan": float("nan"), "no words": NoWords()}
    for form in FORMATS:
        set_up(stderr, "info", form)
        log.warning("met", extra=fields)
        flush_log()
    text, line = written(stderr).splitlines()
    assert text.endswith(" no words=(RuntimeError)")
    found = json.loads(line, parse_constant=pytest.fail)
    assert found["time"] > 1e9
    assert found["list"] == "[1]"
    assert found["nan"] == "nan"
    assert found["no words"] == "(RuntimeError)"


# --- the application's own loggers -----------------------------------------------------------


def test_the_applications_loggers_write_there_too_under_their_names(stderr: io.StringIO) -> None:
    set_up(stderr, "info", "text")
    logging.basicConfig(level=logging.DEBUG, format="its own")  # as it may do when it is imported
    logging.getLogger("greeting.db").info("connected", extra={"rows": 3})
    logging.getLogger("greeting").debug("unseen")
    logging.warning("by the root")
    first, second = written(stderr).splitlines()
    assert first.endswith(" info greeting.db: connected; rows=3")
    assert second.endswith(" warning root: by the root")
    set_up(stderr, "info", "json")
    logging.getLogger("greeting").info("in JSON", extra={"rows": 3})
    found = json.loads(written(stderr).splitlines()[-1])
    assert (found["logger"], found["message"], found["rows"]) == ("greeting", "in JSON", 3)


def test_an_application_that_configures_logging_does_not_take_ours_away(stderr: io.StringIO) -> None:
    set_up(stderr, "info", "text")
    own = io.StringIO()
    handler = {"class": "logging.StreamHandler", "stream": own}
    with contextlib.redirect_stderr(stderr):
        logging.config.dictConfig({"version": 1, "handlers": {"own": handler}, "root": {"handlers": ["own"]}})
        check_logging("info", "text")
    logging.getLogger("made later").warning("to its own")
    log.warning("to ours")
    assert written(stderr).endswith(" warning: to ours\n")
    assert own.getvalue() == "to its own\n"


def test_an_application_that_configures_its_own_loggers_only_leaves_the_rest_to_us(stderr: io.StringIO) -> None:
    set_up(stderr, "info", "text")
    with contextlib.redirect_stderr(stderr):
        logging.config.dictConfig({"version": 1})
        check_logging("info", "text")
    logging.getLogger("made still later").warning("met")
    log.warning("to ours")
    assert [line.partition(" ")[2] for line in written(stderr).splitlines()] == [
        "warning made still later: met",
        "warning: to ours",
    ]


def test_without_a_configuration_nothing_is_set_up_anew(stderr: io.StringIO) -> None:
    set_up(stderr, "info", "text")
    before = [*logging.root.handlers]
    check_logging("info", "text")
    assert logging.root.handlers == before


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
    logging.getLogger("greeting").info("and once")
    assert [line.split()[-1] for line in written(stderr).splitlines()] == ["once", "once"]


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
    monkeypatch.setattr(server_log, "MOST_WAITING", 50_000)
    line = "x" * 999
    for n in range(200):
        answers.info("%03d%s", n, line)
    text = pipe.read_until("no program read it for a while\n")
    lines = text.splitlines()
    written = [int(line[:3]) for line in lines[:-1]]
    assert written == sorted(set(written))
    assert written[:50] == list(range(50))
    assert len(written) < 100
    assert f"warning: {200 - len(written)} lines of the log were lost" in lines[-1]
    answers.info("read again")
    assert pipe.read_until("again\n") == "read again\n"


def test_the_end_waits_for_a_log_that_nobody_reads_only_so_long(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_log, "FLUSH_WITHIN", 0.05)
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
    texts = [line.partition(" info: ")[2] for line in written(stderr).splitlines()]
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


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="a thread's mask is read from /proc")
def test_the_log_s_thread_takes_no_signal_from_the_main_one() -> None:
    """Else the main thread, which is to handle it, may sleep on."""
    before = set(threading.enumerate())
    writer = Writer(io.StringIO())
    try:
        writer.flush()
        (thread,) = set(threading.enumerate()) - before
        with open(f"/proc/self/task/{thread.native_id}/status") as status:
            (blocked,) = (int(line.split()[1], 16) for line in status if line.startswith("SigBlk"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1):
            assert blocked >> (number - 1) & 1
    finally:
        writer.close()
