"""Every request knows the reply it must get, and nothing else passes for it."""

import json
from collections import Counter
from itertools import islice

import pytest

from multiconn.loadtest.config import FRAME, OFF, Config, Size
from multiconn.loadtest.engine.data_file import BadData, load_data
from multiconn.loadtest.engine.workload import (
    DEFAULT_VALUE,
    ENTRIES,
    SIZES,
    Prepared,
    Workload,
    expected_result,
)
from protocol import SERVER, Codec, Connection, HeaderReceived, Request


def request(action="echo", value="hi"):
    return Prepared(action, value, expected_result(action, value))


@pytest.mark.parametrize("action", ["search", "echo", "confirm", "greet"])
@pytest.mark.parametrize("value", ["morpheus", "\U0001f436", 'a "quoted" one', "", "x" * 70_000])
def test_a_prepared_frame_is_what_a_server_reads(action, value):
    outgoing = request(action, value).outgoing
    header, read = Connection(Codec(SERVER)).receive_data(b"".join(outgoing.framed))
    assert isinstance(header, HeaderReceived)
    assert isinstance(read, Request)
    assert read.content == {"action": action, "value": value}


def workload(**options):
    return Workload(Config(**options))


def sent(prepared):
    return json.loads(prepared.outgoing.content)


def test_search_takes_the_three_entries_in_turn_and_goes_on_where_it_left_off():
    order = workload().endless(1)
    names = [sent(prepared)["value"] for count in (2, 1, 4) for prepared in islice(order, count)]
    entries = list(ENTRIES)
    assert names == [entries[i % 3] for i in range(7)]


@pytest.mark.parametrize("action", ["echo", "confirm", "mine"])
def test_other_actions_have_a_value_to_send_without_one(action):
    (prepared,) = workload(action=action).requests
    assert sent(prepared) == {"action": action, "value": DEFAULT_VALUE}


def test_a_value_of_ones_own_is_the_only_one_sent():
    (prepared,) = workload(value="nobody").requests
    assert prepared.check({"result": "No match for 'nobody'."}, 1) is None


@pytest.mark.parametrize(("value", "answer"), ENTRIES.items())
def test_the_right_search_answers_pass(value, answer):
    assert request("search", value).check({"result": answer}, 1) is None


def test_a_handler_may_add_fields():
    assert request("echo").check({"result": "hi", "took": 3}, 1) is None


def test_the_answer_to_another_request_is_a_mismatch():
    name, detail = request("search", "ring").check({"result": ENTRIES["morpheus"]}, 1)
    assert name == "verify_mismatch"
    assert "rabbit" in detail
    assert "caves" in detail


@pytest.mark.parametrize("count", [3, 5, None, "4", 4.0])
def test_confirm_must_count_this_connections_requests(count):
    confirm = request("confirm")
    assert confirm.check({"result": "Received: hi", "count": 4}, 4) is None
    assert confirm.check({"result": "Received: hi", "count": count}, 4)[0] == "verify_mismatch"


def test_true_is_no_count_of_one():
    assert request("confirm").check({"result": "Received: hi", "count": True}, 1)[0] == "verify_mismatch"


@pytest.mark.parametrize("action", ["search", "echo", "confirm", "mine"])
@pytest.mark.parametrize(
    "reply",
    [
        {"result": "Error: x", "error": {"code": "handler-failed", "message": "x"}},
        {"result": "Error: invalid action 'mine'."},
        {"error": "broken"},
    ],
)
def test_an_error_reply_is_the_servers_error_whatever_was_expected(action, reply):
    assert request(action).check(reply, 1)[0] == "server_error"


def test_an_echo_of_words_that_look_like_an_error_is_right():
    assert request("echo", "Error: not really").check({"result": "Error: not really"}, 1) is None


def test_the_right_result_beside_an_error_is_still_an_error():
    assert request("echo").check({"result": "hi", "error": {"code": "c", "message": "m"}}, 1) == (
        "server_error",
        "echo: c: m",
    )


@pytest.mark.parametrize("reply", [None, 1, "hi", ["result"], {}, {"answer": 1}, b"raw"])
@pytest.mark.parametrize("action", ["echo", "mine"])
def test_what_is_no_reply_at_all_is_bad_content(action, reply):
    assert request(action).check(reply, 1)[0] == "bad_content"


@pytest.mark.parametrize("result", [None, 0, "", [], {"deep": [1]}])
def test_any_result_is_right_where_only_the_application_knows(result):
    assert request("mine").check({"result": result}, 1) is None


def test_details_of_large_replies_are_short():
    _, detail = request("echo").check({"result": "x" * 10**6}, 1)
    assert len(detail) < 300


def test_equal_loads_have_equal_fingerprints_and_others_differ():
    assert workload().fingerprint("closed", 1) == workload().fingerprint("closed", 1)
    different = {
        workload().fingerprint("closed", 1),
        workload().fingerprint("closed", 2),
        workload(action="echo").fingerprint("closed", 1),
        workload(action="echo", value="x").fingerprint("closed", 1),
        workload(mix=(("search", 9.0), ("echo", 1.0))).fingerprint("closed", 1),
        workload(mix=(("search", 1.0), ("echo", 9.0))).fingerprint("closed", 1),
    }
    assert len(different) == 6


# --- several ---------------------------------------------------------------------------


def test_a_mix_has_its_weights_and_the_seed_decides_the_order():
    mixed = workload(mix=(("search", 9.0), ("echo", 1.0)))
    drawn = list(islice(mixed.numbers(1), 20_000))
    actions = Counter(mixed.requests[number].action for number in drawn)
    assert actions["echo"] == pytest.approx(2000, rel=0.1)
    assert set(drawn) == {0, 1, 2, 3}
    assert drawn == list(islice(mixed.numbers(1), 20_000))
    assert drawn != list(islice(mixed.numbers(2), 20_000))


def test_a_size_is_the_text_s_length_in_bytes():
    (prepared,) = workload(action="echo", sizes=(Size(4096, 4096),)).requests
    assert len(sent(prepared)["value"].encode()) == 4096


def test_a_range_of_sizes_has_both_ends_and_a_bounded_number_between():
    sizes = [len(sent(p)["value"]) for p in workload(action="echo", sizes=(Size(64, 4096),)).requests]
    assert (sizes[0], sizes[-1], len(sizes)) == (64, 4096, SIZES)
    assert [len(sent(p)["value"]) for p in workload(action="echo", sizes=(Size(0, 2),)).requests] == [0, 1, 2]


def test_weighted_sizes_are_drawn_by_weight():
    made = workload(action="echo", sizes=(Size(64, 64, 9.0), Size(1000, 1000, 1.0)))
    drawn = Counter(len(made.requests[n].expected) for n in islice(made.numbers(3), 10_000))
    assert drawn[1000] == pytest.approx(1000, rel=0.15)


def test_in_a_mix_only_other_actions_than_search_have_sizes():
    made = workload(mix=(("search", 1.0), ("echo", 1.0)), sizes=(Size(9, 9),))
    assert [p.action for p in made.requests] == ["search", "search", "search", "echo"]
    assert len(made.requests[3].expected) == 9


# --- data files --------------------------------------------------------------------------


def data(tmp_path, text):
    path = tmp_path / "data.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return workload(data=load_data(str(path), None))


def test_a_data_file_s_lines_are_sent_in_turn_as_they_are(tmp_path):
    made = data(
        tmp_path,
        '{"action": "echo", "value": [1, true]}\n\n{"action": "mine", "x": 1, "expect": 5}\n{"action": "search"}',
    )
    assert [sent(p) for p in made.requests] == [
        {"action": "echo", "value": [1, True]},
        {"action": "mine", "x": 1},
        {"action": "search"},
    ]
    echo, mine, search = made.requests
    assert echo.check({"result": [1, True]}, 1) is None
    assert echo.check({"result": [True, 1]}, 1)[0] == "verify_mismatch"
    assert mine.check({"result": 5}, 1) is None
    assert mine.check({"result": 5.5}, 1)[0] == "verify_mismatch"
    assert search.check({"result": "anything"}, 1) is None
    assert list(islice(made.numbers(1), 4)) == [0, 1, 2, 0]
    assert made.actions == ("echo", "mine", "search")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no requests"),
        ("nonsense", "data.jsonl:1 is not JSON"),
        ('{"action": "a"}\n[1]', "data.jsonl:2 is no request"),
        ('{"action": 5}', "is no request"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_bad_data_file_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(BadData, match=words):
        data(tmp_path, text)


# --- less than all of it -------------------------------------------------------------------


def test_frame_wants_no_error_and_off_wants_a_frame():
    frame = Prepared("echo", "hi", "hi", FRAME)
    assert frame.check({"result": "other"}, 1) is None
    assert frame.check({"error": "broken"}, 1)[0] == "server_error"
    assert frame.check([], 1)[0] == "bad_content"
    assert Prepared("echo", "hi", "hi", OFF).check([], 1) is None


def test_the_last_request_of_a_connection_says_so_and_is_otherwise_the_same():
    prepared = request()
    header, read = Connection(Codec(SERVER)).receive_data(b"".join(prepared.last.framed))
    assert header.header.connection == "close"
    assert read.content == {"action": "echo", "value": "hi"}
    assert prepared.last.size == len(b"".join(prepared.last.framed))
