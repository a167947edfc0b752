"""The picture of a stall is measured, and the two models differ as the page says."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from benchmarks import stall
from benchmarks.cli import main
from multiconn.loadtest.measure.histogram import Histogram


def line(name, *nanoseconds):
    histogram = Histogram()
    for value in nanoseconds:
        histogram.record(value)
    return stall.Line(name, 100.0, histogram)


def test_the_open_model_sees_what_the_closed_one_leaves_out(tmp_path, capsys):
    plot = tmp_path / "stall.svg"
    short = ["--seconds", "0.6", "--stall", "0.3", "--warmup", "0.1", "--rate", "200"]
    assert main(["stall", *short, "--plot", str(plot)]) == 0
    closed, response, service = capsys.readouterr().out.splitlines()
    assert closed.startswith("closed model: latency")
    assert response.startswith("open model: response")
    assert service.startswith("open model: service")
    assert "p90  " in response
    assert "ms" in response.partition("p90")[2][:10]
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")


def test_every_line_is_drawn_named_and_within_the_picture():
    lines = [line(name, *range(1_000_000, 9_000_000, 1000)) for name in ("one", "two", "three")]
    picture = ElementTree.fromstring(stall.svg(lines, "a < b"))
    texts = ["".join(element.itertext()) for element in picture.iter() if element.tag.endswith("text")]
    assert {"one", "two", "three", "a < b"} <= set(texts)
    names = [e for e in picture.iter() if e.tag.endswith("text") and e.text in ("one", "two", "three")]
    assert all(later - earlier >= stall.GAP - 0.2 for earlier, later in pairwise(float(e.get("y")) for e in names))
    for path in (e for e in picture.iter() if e.tag.endswith("path") and "L" in e.get("d")):
        for point in path.get("d")[1:].split(" L"):
            x, y = map(float, point.split())
            assert 0 <= x <= stall.WIDTH
            assert 0 <= y <= stall.HEIGHT


@pytest.mark.parametrize("option", ["--rate", "--seconds"])
def test_no_figure_is_refused(option, capsys):
    with pytest.raises(SystemExit):
        main(["stall", option, "x"])
    assert option in capsys.readouterr().err
