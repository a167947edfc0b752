"""Does a process get its descriptor numbers as a kernel gives them out?"""

from __future__ import annotations

import errno

import pytest

from suites.simulation.process import FIRST_FREE, Process, failure


def test_the_lowest_free_number_comes_first() -> None:
    process = Process("it")
    assert [process.open(file) for file in "abcd"] == [3, 4, 5, 6]
    process.release(5)
    process.release(4)
    assert [process.open(file) for file in "efg"] == [4, 5, 7]
    assert process.files == {3: "a", 4: "e", 5: "f", 6: "d", 7: "g"}


def test_beyond_the_limit_there_is_no_number_until_one_is_free_again() -> None:
    process = Process("it", limit=FIRST_FREE + 1)
    number = process.open("the only one")
    with pytest.raises(OSError, match="Too many open files") as caught:
        process.open("one more")
    assert caught.value.errno == errno.EMFILE
    assert list(process.files.values()) == ["the only one"]
    process.release(number)
    assert process.open("one more") == number


def test_what_is_not_open_can_not_be_released() -> None:
    process = Process("it")
    number = process.open("file")
    process.release(number)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        process.release(number)
    assert caught.value.errno == errno.EBADF


def test_a_failure_is_of_the_class_that_python_has_for_its_number() -> None:
    assert type(failure(errno.EAGAIN)) is BlockingIOError
    assert type(failure(errno.ECONNRESET)) is ConnectionResetError
    assert type(failure(errno.EMFILE)) is OSError
