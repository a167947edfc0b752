"""The summary says what came out, every key of it whatever happened."""

import signal

from multiconn.loadtest.config import Config
from multiconn.loadtest.output.records import latency_histogram
from multiconn.loadtest.output.summary import summary
from tests.multiconn.loadtest.runs import finished


def test_it_has_the_run_its_verdict_and_its_figures():
    made = summary(finished(cpu=0.5), ["load"], "1.2.3")
    assert made["schema"] == "appload/1"
    assert (made["run"]["argv"], made["run"]["versions"]["multiconn"]) == (["load"], "1.2.3")
    assert made["accounting"] == {
        "scheduled": 1000, "sent": 1000, "ok": 990, "failed": 10, "dropped": 0, "in_flight_at_end": 0,
    }  # fmt: skip
    assert (made["rate"]["offered"], made["rate"]["ok_per_s"]) == (1000.0, 990.0)
    assert latency_histogram(made["latency_s"]["response"]).count == 990
    assert made["latency_s"]["service"] is made["latency_s"]["response"], "closed: the two are one"
    assert made["generator"]["schedule_slip_p99_s"] is None
    assert (made["verdict"]["valid"], made["run"]["interrupted"]) == (True, False)


def test_an_open_run_has_both_latencies_and_an_interrupted_one_says_so():
    made = summary(finished(config=Config(rate=10.0), interrupted=signal.SIGTERM), [], "1")
    assert made["latency_s"]["service"] is not made["latency_s"]["response"]
    assert made["generator"]["schedule_slip_p99_s"] == 0.0
    assert made["run"]["interrupted"] is True


def test_a_run_without_a_connection_has_every_key_all_the_same():
    empty, whole = (summary(finished(**facts), [], "1") for facts in ({"ok": 0, "failed": 0, "opened": 0}, {}))
    assert empty.keys() == whole.keys()
    assert all(empty[key].keys() == whole[key].keys() for key in ("run", "rate", "latency_s", "connections", "errors"))
