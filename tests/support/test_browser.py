"""The browser of the tests tells what went wrong in a page, sees what is drawn, and is missed with a reason."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.support import browser
from tests.support.browser import Tab


def written(tmp_path: Path, body: str, *, policy: str = "") -> Path:
    path = tmp_path / "page.html"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    path.write_text(f"<!doctype html><meta charset=utf-8>{head}<title>it</title>{body}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("throw new Error('thrown')", "exception: thrown"),
        ("Promise.reject(new Error('unheard'))", "exception: unheard"),
        ("console.error('wrong')", "console: wrong"),
        ("console.warn('odd')", "console: odd"),
        ("console.assert(false, 'untrue')", "console: untrue"),
        ("new Image().src = 'http://127.0.0.1:9/x.png'", "asked for http://127.0.0.1:9/x.png"),
        ("new Image().src = 'none.png'", "console: Failed to load resource: net::ERR_FILE_NOT_FOUND"),
    ],
)
def test_what_goes_wrong_in_a_page_is_told(tab: Tab, tmp_path: Path, script: str, trouble: str) -> None:
    tab.open(written(tmp_path, f"<script>console.log('fine'); {script}</script>"))
    assert trouble in tab.troubles


def test_a_page_in_which_nothing_goes_wrong_has_no_troubles(tab: Tab, tmp_path: Path) -> None:
    tab.open(
        written(tmp_path, "<script>console.log('fine')</script><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>")
    )
    assert tab.troubles == []


def test_the_policy_of_a_page_holds_while_it_is_looked_at(tab: Tab, tmp_path: Path) -> None:
    policy = "default-src 'none'; script-src 'unsafe-inline'"
    tab.open(written(tmp_path, "<script>new Image().src = 'data:,x'</script>", policy=policy))
    assert tab.evaluate("6 * 7; new Promise((done) => setTimeout(() => done(42), 1))") == 42
    assert "Content Security Policy" in tab.troubles[0]


def test_keys_the_pointer_and_the_window_are_a_reader_s(tab: Tab, tmp_path: Path) -> None:
    script = """<input id=field><script>
      const seen = [], note = (e) => seen.push(e.key || [e.type, e.clientX, e.clientY].join());
      for (const kind of ["keydown", "mousemove", "click"]) addEventListener(kind, note);
    </script>"""
    tab.open(written(tmp_path, script), "#here", size=(400, 300), dark=True)
    for key in ("ArrowRight", "Shift+M", "+", " ", "?"):
        tab.press(key)
    tab.move(200, 250)
    tab.click(210, 260)
    assert tab.evaluate("seen.filter((one) => one !== 'Shift')") == [
        *("ArrowRight", "M", "+", " ", "?"),
        *("mousemove,200,250", "mousemove,210,260", "click,210,260"),
    ]
    tab.evaluate("document.getElementById('field').focus()")
    tab.write("typed")
    assert tab.evaluate("[field.value, location.hash, innerWidth, innerHeight]") == ["typed", "#here", 400, 300]
    seen = "['(prefers-color-scheme: dark)', 'print'].map((query) => matchMedia(query).matches)"
    assert tab.evaluate(seen) == [True, False]
    tab.paint(printed=True)
    assert tab.evaluate(seen) == [False, True]


def test_a_picture_tells_blank_from_drawn(tab: Tab, tmp_path: Path) -> None:
    half = "<style>body { margin: 0 } div { width: 50px; height: 300px; background: blue }</style>"
    tab.open(written(tmp_path, half), size=(100, 300))
    assert tab.picture(tab.screenshot()) == (100, 300, 1)
    tab.open(written(tmp_path, half + "<div></div>"), size=(100, 300))
    assert tab.picture(tab.screenshot()) == (100, 300, 2)


def test_work_is_measured_in_processor_time(tab: Tab, tmp_path: Path) -> None:
    tab.open(written(tmp_path, ""))
    idle = tab.processor_ms("new Promise((done) => setTimeout(done, 60))")
    assert tab.processor_ms("{ const begun = performance.now(); while (performance.now() < begun + 100); }") > idle


def test_the_next_test_has_a_page_of_its_own(chromium, tmp_path: Path) -> None:
    first = Tab(chromium)
    first.open(written(tmp_path, "<script>console.error('of the first')</script>"))
    first.close()
    second = Tab(chromium)
    assert (second.evaluate("location.href"), second.troubles) == ("about:blank", [])
    second.close()


def test_without_a_browser_or_its_driver_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "google-chrome" else None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert browser.missing() == "no playwright: pip install -e '.[test]'"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert (browser.missing(), browser.executable()) == (None, "/usr/bin/google-chrome")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert (
        browser.missing()
        == "no browser: install chromium (looked for chromium, chromium-browser, google-chrome, chrome)"
    )
    monkeypatch.setenv("CHROMIUM", "/opt/it")
    assert (browser.missing(), browser.executable()) == (None, "/opt/it")
