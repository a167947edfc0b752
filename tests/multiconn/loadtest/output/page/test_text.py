"""The page says what a person asks first, and nothing hostile gets through."""

from multiconn.loadtest.config import CLOSED_LABEL
from multiconn.loadtest.measure.errors import Incident
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import MEASURING
from multiconn.loadtest.output import files
from tests.multiconn.loadtest.output.page.runs import HOSTILE, RUN, data_of, read, second, summary_of


def test_the_top_says_whether_it_may_be_believed_and_why(save):
    verdict = {
        "valid": False, "reasons": ["the schedule ran late"], "bottleneck": "client",
        "thresholds": [{"expr": "p99<1ms", "observed": 0.5, "ok": False}, {"expr": "b", "observed": None, "ok": True}],
    }  # fmt: skip
    text = read(save(RUN, summary_of(verdict=verdict))).text
    for words in (
        "Not valid, 1 of 2 thresholds failed", "The schedule ran late.", "this load generator, not the server",
        "100/s of 100 asked for", "1.00% of 1,000", "in flight at end", "p99.9", "✗ failed", "nothing to observe",
        "seed 7", "ab" * 32, "sent, 4.0 kB received", "reset 10",
    ):  # fmt: skip
        assert words in text
    assert "Valid The bottleneck was the server." in read(save(RUN, summary_of(), name="good")).text.replace("✓ ", "")


def test_a_closed_run_says_what_its_latency_leaves_out(save):
    closed = [second(1.0, MEASURING, 5_000_000, target=None)]
    told = read(save(closed, summary_of("closed")))
    assert CLOSED_LABEL in told.text
    assert " service " not in told.text.replace("response and service", "")
    assert CLOSED_LABEL not in read(save(RUN, summary_of(), name="open")).text
    assert "service" not in data_of(save(closed, name="killed"))["distribution"]


def test_a_killed_run_has_a_page_out_of_what_it_left(save):
    directory = save(RUN)
    with (directory / files.TIMESERIES).open("a") as file:
        file.write('{"t": 6.2, "sec')
    text = read(directory).text
    assert "Killed before its end" in text
    assert "76/s replies per second" in text  # 302 replies in 4 s, the drain's not among them
    assert "reset 10" in text
    assert len(data_of(directory)["t"]) == 7


def test_a_run_without_a_reply_or_an_interval_has_a_page(save):
    nothing = {"count": 0, "min": 0.0, "mean": 0.0, "max": 0.0, "p": {}, "hdr": files.hdr.encode(Histogram())}
    whole = summary_of(latency_s=dict.fromkeys(("response", "service", "connect", "failed"), nothing))
    assert "There was no reply" in read(save([], whole)).text
    assert data_of(save([second(1.0)], name="silent"))["distribution"]["response"] == []


def test_hostile_text_stays_text(save):
    whole = summary_of()
    whole["run"] |= {"name": HOSTILE, "argv": ["load", HOSTILE]}
    whole["verdict"]["reasons"] = [HOSTILE]
    last = second(3.2, errors={HOSTILE: 1}, incidents=[("reset", Incident(1.0, 2, HOSTILE))])
    directory = save([*RUN[:3], last], whole)
    told = read(directory)
    assert told.scripts == 2  # the numbers and ours
    assert told.addresses == []
    assert HOSTILE.split()[0] in told.text
    assert data_of(directory)["errors"] == {HOSTILE: [0, 0, 0, 1]}
