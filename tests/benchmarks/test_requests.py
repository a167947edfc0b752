"""Are the requests as different as they are said to be, and the same in every run?"""

from __future__ import annotations

import json
import struct

import pytest

from benchmarks.requests import ANSWERS, Variant, echoed, mixed, odd, pack, repeated, varied, with_ids


def taken_apart(variant: Variant) -> tuple[dict[str, object], bytes]:
    length = int.from_bytes(variant.request[:2], "big")
    return json.loads(variant.request[2 : 2 + length]), variant.request[2 + length :]


@pytest.mark.parametrize("make", [repeated, mixed, varied, with_ids, odd])
def test_every_frame_says_its_contents_length(make: object) -> None:
    for variant in make():  # type: ignore[operator]
        header, content = taken_apart(variant)
        assert header["content-length"] == len(content)


@pytest.mark.parametrize("make", [mixed, varied, with_ids, odd])
def test_there_are_256_different_requests(make: object) -> None:
    assert len({variant.request for variant in make()}) == 256  # type: ignore[operator]


def test_the_mix_is_searches_and_echoes_of_many_lengths_in_one_writing() -> None:
    headers, contents = zip(*map(taken_apart, mixed()), strict=True)
    assert len({header["content-length"] for header in headers}) > 50
    assert len({tuple(header) for header in headers}) == 1
    values = [json.loads(content) for content in contents]
    assert contents == tuple(json.dumps(value, ensure_ascii=False).encode() for value in values)
    assert {tuple(value) for value in values} == {("action", "value")}
    assert {value["action"] for value in values} == {"search", "echo"}
    assert {type(value["value"]) for value in values} == {str}
    assert any(not content.isascii() for content in contents)
    searched = {value["value"] for value in values if value["action"] == "search"}
    assert set(ANSWERS) < searched
    assert len(searched) > 100


def test_the_varied_ones_differ_in_lengths_key_orders_spacings_and_actions() -> None:
    headers, contents = zip(*map(taken_apart, varied()), strict=True)
    assert len({header["content-length"] for header in headers}) > 50
    assert len({tuple(header) for header in headers}) > 50
    values = [json.loads(content) for content in contents]
    assert len({tuple(value) for value in values}) == 2
    assert {"search", "echo"} < {value["action"] for value in values}
    assert len({type(value["value"]) for value in values}) > 4
    assert any(not content.isascii() for content in contents)
    assert any(b" : " in content for content in contents)


@pytest.mark.parametrize("make", [mixed, varied, with_ids, odd])
def test_every_run_asks_the_same(make: object) -> None:
    assert make() == make()  # type: ignore[operator]


def test_each_id_is_asked_once_and_looked_for_in_the_reply() -> None:
    ids = [taken_apart(variant)[0]["id"] for variant in with_ids()]
    assert len(set(ids)) == 256
    assert all(json.dumps(id).encode() in variant.header_text for id, variant in zip(ids, with_ids(), strict=True))


def test_the_odd_ones_are_in_other_encodings() -> None:
    encodings = {taken_apart(variant)[0]["content-encoding"] for variant in odd()}
    assert encodings == {"utf-16", "utf-8", "utf-32-be", "UTF8"}


def test_an_echo_is_answered_with_itself() -> None:
    variant = echoed(4096)[0]
    assert len(variant.content) == 4096
    assert variant.request.endswith(variant.content)


def test_the_generators_file_holds_each_part_with_its_length() -> None:
    packed = pack([Variant(b"ask", b"answer", b"")])
    assert packed == struct.pack("<I", 3) + b"ask" + struct.pack("<I", 6) + b"answer" + struct.pack("<I", 0)
