"""Is a user's own registry found, and is what keeps it from being found one sentence?"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from libserver import Actions
from multiconn.commands.server import main
from multiconn.commands.server_actions import CannotLoad, load_actions
from tests.support.server import logging_as_before


@pytest.fixture(autouse=True)
def logging_untouched() -> Iterator[None]:
    with logging_as_before():
        yield


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to write modules into, which is the current one."""
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_of_the_current_directory_is_found(here: Path) -> None:
    (here / "mine_ok.py").write_text("from libserver import Actions\nactions = Actions()\n")
    assert isinstance(load_actions("mine_ok:actions"), Actions)


def test_a_module_in_a_package_is_found(here: Path) -> None:
    (here / "mine_package").mkdir()
    (here / "mine_package" / "__init__.py").write_text("")
    (here / "mine_package" / "app.py").write_text("import libserver\nactions = libserver.Actions()\n")
    assert isinstance(load_actions("mine_package.app:actions"), Actions)


BROKEN = {
    "no module": (None, "there is no module 'mine_broken' here or on the path"),
    "no attribute": ("x = 1", "mine_broken has no actions; write actions = Actions() there"),
    "another type": ("actions = 5", "mine_broken is no libserver.Actions: actions"),
    "raises": ("def f():\n    raise ValueError('oh\\nno')\nf()", "ValueError: oh\\nno (mine_broken.py, line 2)"),
    "raises without words": ("raise ValueError", "ValueError:  (mine_broken.py, line 1)"),
    "syntax": ("def f(:\n", "SyntaxError: invalid syntax"),
    "exits": ("import sys; sys.exit('bye')", "SystemExit: bye (mine_broken.py, line 1)"),
    "missing import": (
        "import no_such_module_at_all",
        "No module named 'no_such_module_at_all' (mine_broken.py, line 1)",
    ),
    "in a library": ("\n\nimport json\njson.loads('{')", "(mine_broken.py, line 4)"),
    "bad handler": (
        "from libserver import Actions\nactions = Actions()\n@actions.add('x')\nasync def f(r): ...",
        "TypeError: the handler f is async",
    ),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_an_app_that_can_not_be_had_is_one_sentence_and_exit_code_1(
    here: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    if text is not None:
        (here / "mine_broken.py").write_text(text)
    with pytest.raises(CannotLoad) as caught:
        load_actions("mine_broken:actions")
    assert words in str(caught.value)
    assert "--app mine_broken:actions" in str(caught.value)
    sys.modules.pop("mine_broken", None)
    assert main(["127.0.0.1", "0", "--app", "mine_broken:actions"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert words in line
    assert main(["127.0.0.1", "0", "--app", "mine_broken:actions", "--log-level", "debug"]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1] == line
    assert ("Traceback" in told) == (text not in ("x = 1", "actions = 5")), told


@pytest.mark.parametrize("name", ["mine.py:actions", "no/such:actions", ".relative:actions", "a b:actions", "é:é"])
def test_a_name_that_is_no_module_is_one_sentence_too(here: Path, name: str) -> None:
    with pytest.raises(CannotLoad, match="--app"):
        load_actions(name)
