"""Is every ratio drawn, within the picture, for light and dark?"""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.plot import svg
from benchmarks.stored import Run

SVG = "{http://www.w3.org/2000/svg}"


def test_the_plot_has_a_bar_for_each_ratio_and_escapes_names(run: Run) -> None:
    root = ElementTree.fromstring(svg(run.summaries(), run.loads, run.caption()))
    titles = [element.text for element in root.iter(f"{SVG}title")]
    assert len(titles) == 8
    assert "ours: 2.31 (2.30 to 2.32, 3 rounds)" in titles
    assert any(title and title.startswith("<odd> & co") for title in titles)


def test_the_plots_bars_stay_within_it(run: Run) -> None:
    root = ElementTree.fromstring(svg(run.summaries(), run.loads, run.caption()))
    widths = [float(element.get("width", 0)) for element in root.iter(f"{SVG}rect")]
    assert max(widths[1:]) < float(root.get("width", 0)) / 2
    assert all(width >= 0 for width in widths)


def test_the_plot_is_legible_in_light_and_dark(run: Run) -> None:
    drawn = svg(run.summaries(), run.loads, run.caption())
    assert "prefers-color-scheme: dark" in drawn
    assert 'class="surface"' in drawn


def test_an_empty_run_can_be_drawn() -> None:
    assert ElementTree.fromstring(svg([], {}, "")).tag == f"{SVG}svg"
