"""Does the slow action take its time in a thread, and the others go on meanwhile?"""

from __future__ import annotations

import pytest

from suites.detection import slow
from tests.support.server import turned
from tests.support.wire import keep


def test_it_answers_with_the_value_once_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(slow.time, "sleep", waited.append)
    with turned(slow.actions) as home:
        assert home.peer().ask(keep("slow", 7)).result == 7
    assert waited == [slow.SECONDS]


def test_it_is_blocking_so_that_the_loop_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    ran_in: list[threading.Thread] = []
    monkeypatch.setattr(slow.time, "sleep", lambda seconds: ran_in.append(threading.current_thread()))
    with turned(slow.actions) as home:
        home.peer().ask(keep("slow", 7))
    assert ran_in != [threading.current_thread()]
