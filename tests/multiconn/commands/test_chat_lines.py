"""`multiconn.commands.chat_lines`: lines of a pipe, a file, a terminal and /dev/null, by a thread, on a loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventloop import EventLoop
from multiconn.commands.chat_lines import LONGEST, LineReader
from tests.support.peer import PATIENCE


class Reading:
    """A reader on a loop, and what it handed over."""

    def __init__(self, number: int) -> None:
        self.loop = EventLoop()
        self.batches: list[list[str]] = []
        self.over = False
        self.reader = LineReader(self.loop, number, self.batches.append, self._ended)

    def _ended(self) -> None:
        self.over = True

    @property
    def lines(self) -> list[str]:
        return [line for batch in self.batches for line in batch]

    def until(self, count: int | None) -> list[str]:
        """So many lines; None: all."""
        give_up_at = self.loop.clock() + PATIENCE
        while not self.over if count is None else len(self.lines) < count:
            assert self.loop.clock() < give_up_at
            self.reader.more()
            self.loop.run_once(0.1)
        return self.lines


@contextmanager
def reading(number: int) -> Iterator[Reading]:
    found = Reading(number)
    try:
        yield found
    finally:
        found.reader.close()
        found.reader.close()
        found.loop.close()
    assert "lines" not in [thread.name for thread in threading.enumerate()]


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    try:
        yield ours, theirs
    finally:
        for number in (ours, theirs):
            try:
                os.close(number)
            except OSError:
                pass


def test_lines_of_a_pipe_come_as_they_are_written_and_the_last_needs_no_end() -> None:
    with pipe() as (ours, theirs), reading(ours) as found:
        os.write(theirs, b"one\ntw")
        assert found.until(1) == ["one"]
        os.write(theirs, "o\r\nthrée\nfour".encode())
        os.close(theirs)
        assert found.until(None) == ["one", "two\r", "thrée", "four"]


def test_a_file_dev_null_and_a_descriptor_that_can_not_be_read_come_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a\nb\n\nc")
    for name, mode, lines in ((str(path), os.O_RDONLY, ["a", "b", "", "c"]), (os.devnull, os.O_RDONLY, []),
                              (os.devnull, os.O_WRONLY, [])):  # fmt: skip
        number = os.open(name, mode)
        try:
            with reading(number) as found:
                assert found.until(None) == lines
        finally:
            os.close(number)


def test_a_terminal_is_read_line_by_line_and_control_d_ends_it() -> None:
    master, slave = os.openpty()
    try:
        with reading(slave) as found:
            os.write(master, b"one\n")
            assert found.until(1) == ["one"]
            os.write(master, b"\x04")
            assert found.until(None) == ["one"]
    finally:
        os.close(master)
        os.close(slave)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    with pipe() as (ours, theirs):
        os.set_blocking(ours, False)
        with reading(ours) as found:
            found.reader.more()
            found.loop.run_once(0.05)
            os.write(theirs, b"one\n")
            assert found.until(1) == ["one"]


def test_nothing_is_read_that_is_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x\n" * LONGEST)  # two reads
    number = os.open(path, os.O_RDONLY)
    try:
        with reading(number) as found:
            found.loop.run_once(0.05)
            assert os.lseek(number, 0, os.SEEK_CUR) == 0
            found.until(1)
            assert os.lseek(number, 0, os.SEEK_CUR) <= LONGEST * 2
            assert len(found.batches[0]) == LONGEST // 2
            assert len(found.until(None)) == LONGEST
    finally:
        os.close(number)


def test_a_line_without_an_end_takes_no_memory_and_the_next_one_is_read() -> None:
    with pipe() as (ours, theirs), reading(ours) as found:
        done = threading.Thread(target=lambda: os.write(theirs, b"a" * (10 * LONGEST) + b"\nshort\n"))
        done.start()
        long, short = found.until(2)
        done.join()
        assert LONGEST <= len(long) <= 2 * LONGEST
        assert short == "short"


def test_a_byte_that_is_no_utf_8_is_kept_as_a_lone_surrogate() -> None:
    with pipe() as (ours, theirs), reading(ours) as found:
        os.write(theirs, b"\xff\n")
        assert found.until(1) == ["\udcff"]


@pytest.mark.parametrize("wanted", [True, False])
def test_it_is_closed_while_it_waits_and_takes_nothing_of_what_comes_later(wanted: bool) -> None:
    with pipe() as (ours, theirs):
        with reading(ours) as found:
            if wanted:
                found.reader.more()
        os.write(theirs, b"later")
        assert os.read(ours, 100) == b"later"
        assert found.lines == []
