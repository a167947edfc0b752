"""Is the log readable by people in one format and by machines in the other?"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator

import pytest

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
    assert "error: a handler failed\nTraceback" in text
    assert "ValueError: the cause" in text


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
