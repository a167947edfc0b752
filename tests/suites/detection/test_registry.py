"""Is a mistake made where it is meant, and is one that can't be made an error?"""

from __future__ import annotations

import pytest

import libserver.dispatcher
import protocol.frames
from libserver.dispatcher import Dispatcher
from suites.detection import registry
from suites.detection.registry import replace


def test_a_mistake_whose_place_has_gone_is_not_taken_for_made() -> None:
    with pytest.raises(LookupError, match="mend the variant"):
        replace(lambda: None, lambda: None)


def test_a_function_is_replaced_wherever_it_is_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def original() -> str:
        return "healthy"

    def mistake() -> str:
        return "broken"

    for module in (protocol.frames, libserver.dispatcher):
        monkeypatch.setattr(module, "of_a_test", original, raising=False)
    replace(original, mistake)
    assert protocol.frames.of_a_test() == libserver.dispatcher.of_a_test() == "broken"  # type: ignore[attr-defined]


def test_a_variant_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BREAKS", {})
    register = registry.broken("mine", "all goes wrong", "everywhere", "FR1", options=("--x",), slow=True)
    register(lambda: None)
    made = registry.BREAKS["mine"]
    assert (made.what, made.caught_by, made.options, made.after, made.verdict) == (
        *("all goes wrong", "FR1", ("--x",), (), "FAILED"),
    )
    assert made.slow
    with pytest.raises(ValueError, match="two variants named mine"):
        register(lambda: None)


def test_a_server_made_to_walk_answers_nothing_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("serve", "serve_each"):
        monkeypatch.setattr(Dispatcher, name, getattr(Dispatcher, name))  # given back afterwards
    registry.slow_path_only()
    taken: list[int] = []
    assert Dispatcher.serve(None, None, b"bytes", 1, 1) == (0, [], 0)  # type: ignore[arg-type]
    Dispatcher.serve_each(None, [], [b"bytes"], taken, [], 0.0)  # type: ignore[arg-type]
    assert taken == []
