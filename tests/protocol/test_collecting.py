"""The collector rests while a large value is there, and goes on whatever happens."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from protocol.collecting import Uncollected
from protocol.content import decode_contents, decode_json
from protocol.limits import UNCOLLECTED

LARGE = b"[" + b"[]," * UNCOLLECTED + b"1]"


@pytest.fixture
def passes() -> Iterator[list[str]]:
    """What the collector did, as it tells."""
    seen: list[str] = []

    def noted(phase: str, info: dict[str, int]) -> None:
        seen.append(phase)

    gc.collect()
    gc.callbacks.append(noted)
    try:
        yield seen
    finally:
        gc.callbacks.remove(noted)


@pytest.mark.parametrize(
    "decode", [lambda content: decode_json(content, "utf-8"), lambda one: decode_contents([one, one])]
)
def test_a_large_value_that_is_made_and_freed_is_never_walked(passes, decode):
    with Uncollected():
        decode(LARGE)
    assert passes == []
    [[] for _ in range(10 * gc.get_threshold()[0])]
    assert passes != []


@pytest.mark.parametrize("content", [LARGE, LARGE[:-1], LARGE[:-1] + b"NaN]", b"\xff" * UNCOLLECTED])
@pytest.mark.parametrize("on", [True, False])
def test_it_is_as_it_was_behind_a_content_good_or_bad(content, on):
    (gc.enable if on else gc.disable)()
    try:
        try:
            decode_json(content, "utf-8")
        except Exception:
            pass
        assert gc.isenabled() is on
        decode_contents([content])
        assert gc.isenabled() is on
    finally:
        gc.enable()


def test_whoever_ends_last_in_whatever_order_leaves_it_on():
    first, second = Uncollected(), Uncollected()
    first.__enter__()
    second.__enter__()
    first.__exit__()
    assert gc.isenabled()  # too early for the second: it costs that one time, and nothing else
    second.__exit__()
    assert gc.isenabled()


def test_an_interrupt_leaves_it_on():
    def interrupted():
        with Uncollected():
            assert not gc.isenabled()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gc.isenabled()
