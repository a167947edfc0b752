"""A load test ends with the first code that applies."""

import signal

from multiconn.commands.load_exit_code import exit_code
from multiconn.loadtest.config import Config
from multiconn.loadtest.output.report import report
from tests.multiconn.loadtest.runs import finished


def test_an_interrupt_comes_before_every_other_exit_code_but_internal_errors():
    assert exit_code(finished(ok=0, failed=0, opened=0, interrupted=signal.SIGINT)) == 130
    assert exit_code(finished(ok=0, failed=0, opened=0)) == 3
    assert exit_code(finished()) == 0


def test_exit_codes_are_the_first_that_applies():
    thresholds = Config(thresholds=("failed<=0",))
    assert exit_code(finished(config=thresholds)) == 99
    assert exit_code(finished(config=thresholds, cpu=1.0)) == 5
    assert exit_code(finished(cpu=1.0)) == 0
    assert exit_code(finished(config=Config(require_valid=True), cpu=1.0)) == 5
    wrong = finished(config=thresholds, cpu=1.0)
    wrong.measured.errors.counts["verify_mismatch"] = 1
    assert exit_code(wrong) == 4
    assert exit_code(finished(aborted="--abort-on failed>1: 7")) == 99
    assert "--abort-on failed>1: 7" in report(finished(aborted="--abort-on failed>1: 7"))
