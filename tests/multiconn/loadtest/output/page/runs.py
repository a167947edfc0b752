"""Runs whose page is made: an ordinary one, and texts that want to be more than text."""

import json
import re
from html.parser import HTMLParser

from multiconn.loadtest.config import Config
from multiconn.loadtest.measure.intervals import CONNECTING, DRAINING, MEASURING, WARMUP, Interval
from multiconn.loadtest.output.page import write_html
from multiconn.loadtest.output.records import latency_record
from tests.multiconn.loadtest.runs import histogram

HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned=1'> & \"quoted\" \u2028"


def second(t, phase=MEASURING, *values, **more):
    facts = {"target": 100.0, "sent": len(values), "ok": len(values), "replies": len(values), "open": 5, "wanted": 5}
    facts |= {"response": histogram(*values), "service": histogram(*(value // 2 for value in values)), **more}
    return Interval(t, facts.pop("seconds", 1.0), phase, **facts)


def summary_of(model="open", **changes):
    """A whole summary, as `outcome.summary` makes them."""
    latency = latency_record(histogram(*range(1_000_000, 11_000_000, 10_000)), Config().percentiles)
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
