"""The page for people: the right numbers, nothing loaded, nothing hostile let through, and it can be read."""

import json
import re
from html.parser import HTMLParser

import pytest

from libclient.load import files
from libclient.load.config import CLOSED_LABEL, Config
from libclient.load.errors import Incident
from libclient.load.histogram import Histogram
from libclient.load.page import PAGE, write_html
from libclient.load.page.series import POINTS, ROWS_PER_DECADE, distribution, read_series
from libclient.load.progress import CONNECTING, DRAINING, MEASURING, WARMUP, Interval, Plan
from multiconn.commands import client

HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned=1'> & \"quoted\" \u2028"


def histogram(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def second(t, phase=MEASURING, *values, **more):
    facts = {"target": 100.0, "sent": len(values), "ok": len(values), "replies": len(values), "open": 5, "wanted": 5}
    facts |= {"response": histogram(*values), "service": histogram(*(value // 2 for value in values)), **more}
    return Interval(t, facts.pop("seconds", 1.0), phase, **facts)


@pytest.fixture
def save(tmp_path):
    """Writes a run of these intervals, with a summary or as one that was killed."""

    def write(intervals, summary=None, name="run"):
        writer = files.Writer(tmp_path / name, Config().percentiles)
        writer.begin(Plan(Config(), "tcp://127.0.0.1:1", 1_700_000_000.0))
        for each in intervals:
            writer.interval(each)
        writer.end(None)
        if summary is not None:
            writer.complete(summary)
        return writer.directory

    return write


def summary_of(model="open", **changes):
    """A whole summary, as `load.outcome.summary` makes them."""
    latency = files.latency_object(histogram(*range(1_000_000, 11_000_000, 10_000)), Config().percentiles)
    config = {"target": "t", "model": model, **Config(rate=100.0 if model == "open" else None).as_dict()}
    told = {
        "schema": "appload/1",
        "run": {
            "id": "20260101T000000-1", "name": "tcp://127.0.0.1:1", "started_at": "2026-01-01T00:00:00.000+00:00",
            "duration_s": 4.0, "interrupted": False, "argv": ["app_client.py", "load"],
            "config": config | {"model": model}, "seed": 7, "schedule_sha256": "ab" * 32,
            "host": {"name": "h", "system": "s", "cpus": 2}, "versions": {"multiconn": None, "python": "3"},
        },
        "verdict": {"valid": True, "reasons": [], "bottleneck": "server", "thresholds": []},
        "accounting": {"scheduled": 1000, "sent": 1000, "ok": 990, "failed": 10, "dropped": 0, "in_flight_at_end": 0},
        "rate": {"target": 100.0 if model == "open" else None, "offered": 100.0, "achieved": 99.5, "ok_per_s": 99.0},
        "latency_s": dict.fromkeys(("response", "service", "connect", "failed"), latency),
        "by_action": {}, "bytes": {"sent": 2048, "received": 4096},
        "connections": {"opened": 5, "peak": 5, "reconnects": 0, "closed_by_peer": 0}
        | {"syn_retries": 0, "listen_overflows": None},
        "errors": {"reset": 10, "read_timeout": 0},
        "generator": {"cpu_max": 0.5, "loop_lag_p99_s": 0.001, "schedule_slip_p99_s": 0.0001},
        "server": None,
    }  # fmt: skip
    return told | changes


RUN = [
    second(0.2, CONNECTING, seconds=0.2, target=100.0),
    second(1.2, WARMUP, *range(1_000_000, 2_000_000, 10_000)),
    second(2.2, MEASURING, *range(1_000_000, 2_000_000, 10_000)),
    second(3.2, MEASURING, 5_000_000, 50_000_000, failed=10, errors={"reset": 10}),
    second(4.2, MEASURING),
    second(5.2, MEASURING, *([1_500_000] * 200)),
    second(5.201, DRAINING, 700_000_000, seconds=0.001),
]


class Text(HTMLParser):
    """The words of a page, and every address and handler in it."""

    def __init__(self, page):
        super().__init__()
        self.words, self.addresses, self.scripts = [], [], 0
        self._tag = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        self.scripts += tag == "script"
        self.addresses += [(tag, name) for name, _ in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, data):
        if self._tag not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(directory):
    return Text(write_html(directory).read_text(encoding="utf-8"))


def data_of(directory):
    page = write_html(directory).read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))


# --- the numbers ------------------------------------------------------------------------------------


def test_every_interval_is_a_point_with_the_histograms_own_percentiles(save):
    data = json.loads(read_series(save(RUN)).json(None))
    assert data["t"] == [0.2, 1.2, 2.2, 3.2, 4.2, 5.2, 5.201]
    assert data["rate"]["achieved"] == [0, 100, 100, 2, 0, 200, None]  # the cut-off piece of a drain is no rate
    assert data["rate"]["target"] == [None, 100, 100, 100, 100, 100, None]
    assert data["rate"]["failed"][3] == 10
    assert data["latency"]["p50"][2] == pytest.approx(0.00149, rel=0.001)
    assert data["latency"]["max"][3] == 0.05
    assert data["latency"]["p99"][4] is None  # nobody was answered: that is no 0
    assert data["latency"]["service_p99"][3] == pytest.approx(0.025, rel=0.001)
    assert data["errors"] == {"reset": [0, 0, 0, 10, 0, 0, 0]}
    assert [phase[0] for phase in data["phases"]] == [CONNECTING, WARMUP, MEASURING, DRAINING]
    assert data["phases"][2][1:] == [1.2, 5.2]
    assert "idle" not in data["connections"]


def test_the_heat_map_has_every_reply_in_its_row(save):
    data = json.loads(read_series(save(RUN)).json(None))["heat"]["columns"]
    assert [sum(column[1:]) for column in data] == [0, 100, 100, 2, 0, 200, 1]
    lowest, *counts = data[3]
    assert 10 ** (lowest / ROWS_PER_DECADE) <= 5_000_000 < 10 ** ((lowest + 1) / ROWS_PER_DECADE)
    assert len(counts) == ROWS_PER_DECADE + 1  # up to the row that is ten times as long


def test_the_distribution_is_of_the_measured_phases_alone_and_ends_with_the_longest(save):
    told = json.loads(read_series(save(RUN)).json(None))["distribution"]["response"]
    assert told[0][0] == 0
    assert told[-1] == [100, pytest.approx(0.7, rel=0.001)]
    assert [value for _, value in told] == sorted(value for _, value in told)
    assert next(value for percent, value in told if percent >= 50) == pytest.approx(0.0015, rel=0.001)
    assert distribution(Histogram()) == []


def test_a_long_run_has_no_more_points_than_fit_and_loses_nothing(save):
    hour = [second(0.2, CONNECTING, seconds=0.2)]
    hour += [second(1.2 + n, MEASURING, 1_000_000 + n, 900_000_000 if n == 333 else 1) for n in range(700)]
    directory = save(hour)
    series = read_series(directory)
    data = json.loads(series.json(None))
    assert series.merged == 2
    assert 350 <= len(data["t"]) <= POINTS
    assert data["latency"]["max"].count(0.9) == 1
    assert sum(sum(column[1:]) for column in data["heat"]["columns"]) == 1400
    assert all(rate == 2 for rate in data["rate"]["achieved"][1:])
    assert series.counts["ok"] == 1400
    page = write_html(directory).read_text(encoding="utf-8")
    assert "each point is 2 of its 701 intervals" in page
    assert len(page) < 250_000


# --- the words --------------------------------------------------------------------------------------


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


def test_report_makes_the_page_again_and_refuses_what_is_no_run_in_one_line(save, tmp_path, capsys):
    directory = save(RUN)
    assert client.main(["report", str(directory)]) == 0
    assert capsys.readouterr().out == f"{directory / PAGE}\n"
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / files.TIMESERIES).write_text('{"t": 1}\n')
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / files.SUMMARY).write_text('{"schema": "appload/1"}')
    (tmp_path / "half" / files.TIMESERIES).write_text("")
    for wrong in (tmp_path / "nowhere", tmp_path, tmp_path / "cut", tmp_path / "half"):
        assert client.main(["report", str(wrong)]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "name a directory that load -o wrote" in told


# --- in a real browser ------------------------------------------------------------------------------


def box(page, selector):
    told = page.evaluate(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});"
        " const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
    )
    page.settle()
    return told


def shown(page, chart):
    """The values in a chart's legend, by name."""
    return page.evaluate(
        f"Object.fromEntries([...document.querySelectorAll('#{chart} .legend button:not(.axis)')]"
        ".map(b => [b.querySelector('span').textContent, b.querySelector('output').textContent]))"
    )


def test_a_browser_draws_every_point_and_tells_its_value_under_the_pointer(save, tab):
    page = tab.open(write_html(save(RUN, summary_of())), size=(1200, 900))
    page.settle()
    points = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('path[data-name]')]"
        ".map(p => [p.closest('.chart').id + ' ' + p.dataset.name, [+p.dataset.points,"
        " p.getAttribute('d').split(/[ML]/).length - 1]]))"
    )
    assert points["rate achieved"] == [6, 6]
    assert points["percentiles p99"] == points["percentiles service p99"] == [5, 5]
    assert points["errors reset"] == [7, 7]
    assert points["connections open"] == [7, 7]
    assert points["distribution response"][0] == len(distribution(histogram(*range(1_000_000, 11_000_000, 10_000))))
    assert page.evaluate("report.charts.heat.cells") > 10

    left, top, width, height = box(page, "#rate .plot")
    x = page.evaluate("report.charts.rate.across(report.charts.rate.places[3])")
    page.move(left + x * width / page.evaluate("report.charts.rate.width"), top + height / 2)
    assert shown(page, "rate") == {"achieved": "2/s", "target": "100/s", "errors": "10/s"}
    assert shown(page, "percentiles")["max"] == "50.0 ms"  # one cursor for all charts over time
    assert page.evaluate("document.querySelectorAll('.cursor').length") == 5
    page.press("Tab")
    assert page.troubles == []


def test_a_browser_is_led_by_the_keyboard_and_hides_a_line_whose_name_is_pressed(save, tab):
    page = tab.open(write_html(save(RUN, summary_of())), size=(600, 900))
    page.settle()
    page.evaluate("document.querySelector('#percentiles .plot').focus()")
    page.press("End")
    page.press("ArrowLeft")
    assert shown(page, "percentiles")["p50"] == "1.50 ms"
    assert "1.50 ms" in page.evaluate("document.querySelector('#percentiles .spoken').textContent")
    page.press("Escape")
    assert shown(page, "percentiles")["p50"] == ""
    page.evaluate("document.querySelector('#percentiles .legend button').focus()")
    page.press("Enter")
    names = page.evaluate("[...document.querySelectorAll('#percentiles path')].map(p => p.dataset.name)")
    assert "p50" not in names
    assert "p99" in names
    assert page.evaluate("document.documentElement.scrollWidth <= 600")
    assert page.troubles == []


def test_a_browser_shows_it_in_light_dark_and_print_and_loads_nothing_hostile(save, tab):
    whole = summary_of()
    whole["run"]["name"] = HOSTILE
    directory = save([*RUN, second(6.2, errors={HOSTILE: 3})], whole)
    page = tab.open(write_html(directory), size=(400, 300))
    page.settle()
    grounds = []
    for dark, printed in ((False, False), (True, False), (True, True)):
        page.paint(dark=dark, printed=printed)
        page.evaluate("document.getElementById('heat').scrollIntoView()")
        page.settle()
        width, height, colours = page.picture(page.screenshot())
        assert (width, height) == (400, 300)
        assert colours > 50
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 26)", "rgb(255, 255, 255)"]
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert HOSTILE.split()[0] in page.evaluate("document.querySelector('#errors .legend').textContent")
    assert page.troubles == []
