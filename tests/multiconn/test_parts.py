"""Where a module of somebody's has one of our packages' names, ours are found all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_multiconn import SERVES_AND_ASKS, TUTORIAL, run


@pytest.mark.parametrize("theirs", ["libclient", "libserver", "protocol", "eventloop"])
def test_a_script_works_beside_a_module_that_has_one_of_our_names(theirs: str, tmp_path: Path) -> None:
    (tmp_path / f"{theirs}.py").write_text(TUTORIAL, encoding="utf-8")
    assert run(SERVES_AND_ASKS, tmp_path) == ["Hello, Neo!", "bad-request: greet needs a name"]


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_beside_the_tutorial_s_modules_both_are_there(first: str, tmp_path: Path) -> None:
    for name in ("libclient", "libserver"):
        (tmp_path / f"{name}.py").write_text(TUTORIAL, encoding="utf-8")
    both = ["import libclient, libserver", "from multiconn import Client, Server"]
    more = """
import sys
print(libclient.Message(None, None, None).sock, libserver.Message.__module__)
print(Client.__module__, Server.__module__)
print([name for name in sys.modules if name.partition(".")[0] in ("libclient", "libserver", "protocol", "eventloop")])
"""
    out = run("\n".join(both if first == "theirs" else both[::-1]) + more, tmp_path)
    assert out[0] == "None libserver"
    assert out[1] == "multiconn.libclient.client multiconn.libserver.server"
    assert sorted(out[2].strip("[]").split(", ")) == ["'libclient'", "'libserver'"]


def test_what_a_function_imports_late_is_ours_too(tmp_path: Path) -> None:
    """The built-in actions are imported when a registry is made, and an encoding's tables when one is met."""
    (tmp_path / "libclient.py").write_text(TUTORIAL, encoding="utf-8")
    script = """
        import sys
        import multiconn
        from multiconn.parts import part
        late = {"multiconn.libserver.builtin", "multiconn.protocol.encodings"}
        multiconn.Outgoing
        print(sorted(late & set(sys.modules)))
        multiconn.Actions()
        part("protocol").content.text_codec("latin-1")
        print(sorted(late & set(sys.modules)))
        ours = ("libclient", "libserver", "protocol", "eventloop")
        print([name for name in sys.modules if name.startswith(ours)])
        """
    assert run(script, tmp_path) == [
        "[]",
        "['multiconn.libserver.builtin', 'multiconn.protocol.encodings']",
        "[]",
    ]
