"""The first signal stops a run gently, the second one quits, and the handlers that were there come back."""

import os
import signal
import threading

import pytest

from multiconn.loadtest.process.signals import Interrupts, Quit


@pytest.mark.parametrize(
    ("sent", "told"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)],
)
def test_the_first_one_stops_and_the_second_quits_with_the_first_one_s_number(sent, told):
    stopped = []
    with Interrupts() as interrupts:
        interrupts.stop_by(stopped.append)
        os.kill(os.getpid(), sent)
        assert stopped == [told]
        with pytest.raises(Quit) as quit:
            os.kill(os.getpid(), signal.SIGTERM)
    assert stopped == [told]
    assert quit.value.number == told


def test_while_there_is_nothing_to_stop_gently_one_quits_at_once():
    with Interrupts() as interrupts:
        interrupts.stop_by(lambda number: None)
        interrupts.stop_by(None)
        with pytest.raises(Quit):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_are_given_back_and_an_ignored_hup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with Interrupts():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) not in handlers
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_it_does_nothing():
    handler = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [handler]
