"""The page is one file that loads nothing, and a browser draws it."""

from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.output.page import write_html
from multiconn.loadtest.output.page.series import distribution
from tests.multiconn.loadtest.output.page.runs import HOSTILE, RUN, second, summary_of


def histogram(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


# --- the numbers ------------------------------------------------------------------------------------


# --- the words --------------------------------------------------------------------------------------


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
