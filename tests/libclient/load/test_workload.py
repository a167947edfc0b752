"""Every request knows the reply it must get, and nothing else passes for it."""

import json

import pytest

from libclient.load.workload import DEFAULT_VALUE, ENTRIES, Prepared, Workload, expected_result
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


def sent(prepared):
    return json.loads(prepared.outgoing.content)


def test_search_takes_the_three_entries_in_turn_and_goes_on_where_it_left_off():
    workload = Workload()
    names = [sent(prepared)["value"] for count in (2, 1, 4) for prepared in workload.take(count)]
    entries = list(ENTRIES)
    assert names == [entries[i % 3] for i in range(7)]


@pytest.mark.parametrize("action", ["echo", "confirm", "mine"])
def test_other_actions_have_a_value_to_send_without_one(action):
    (prepared,) = Workload(action).requests
    assert sent(prepared) == {"action": action, "value": DEFAULT_VALUE}


def test_a_value_of_ones_own_is_the_only_one_sent():
    (prepared,) = Workload("search", "nobody").requests
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
    assert Workload().fingerprint("closed", 1) == Workload().fingerprint("closed", 1)
    different = {
        Workload().fingerprint("closed", 1),
        Workload().fingerprint("closed", 2),
        Workload("echo").fingerprint("closed", 1),
        Workload("echo", "x").fingerprint("closed", 1),
    }
    assert len(different) == 4
