"""Is each load what its name says, and are its answers there to compare with?"""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.loads import LOADS, Load


@pytest.fixture(params=LOADS.values(), ids=lambda load: load.name)
def load(request: pytest.FixtureRequest) -> Load:
    return request.param


def test_a_name_says_connections_and_depth(load: Load) -> None:
    found = re.match(r"(\d+)x(\d+)", load.name)
    if found is not None:
        assert (load.connections, load.depth) == (int(found[1]), int(found[2]))
        plural = "" if load.connections == 1 else "s"
        assert load.what.startswith(f"{load.connections} connection{plural}, depth {load.depth},")
    assert LOADS[load.name] is load


def test_its_requests_are_the_same_each_time_and_are_whole_messages(load: Load) -> None:
    variants = load.variants()
    assert variants == load.variants()
    assert len(variants) == 1 if load.fixed or load.oneshot else len({variant.request for variant in variants}) >= 1
    for variant in variants:
        begin = 2 + int.from_bytes(variant.request[:2], "big")
        header = json.loads(variant.request[2:begin])
        assert header["content-length"] == len(variant.request) - begin
        assert (header.get("connection") == "keep-alive") is not load.oneshot


def test_mixed_ones_differ_and_repeated_ones_do_not() -> None:
    assert len({variant.request for variant in LOADS["64x16-mixed"].variants()}) == 256
    assert len(LOADS["64x16"].variants()) == 1


def test_what_only_our_server_has_is_marked() -> None:
    assert {load.name for load in LOADS.values() if load.own} == {
        *("64x16-deadline", "64x16-session", "64x16-rot13", "64x1-blocking")
    }
