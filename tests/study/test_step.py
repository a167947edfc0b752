"""A session says what the machine does with the bytes, and a script of it can be a test."""

from __future__ import annotations

import pytest

from protocol.states import DELIVERY, LIFECYCLE, RECEIVE
from study.step import _COMMANDS, HELP, Session, Unexpected, run_script


def lines(*script: str, role: str = "server") -> list[str]:
    return list(run_script(iter(script), role))


def say(*script: str, role: str = "server") -> str:
    session = Session(role)
    said = ""
    for line in script:
        said = "\n".join(session.do(line))
    return said


def test_a_frame_cut_anywhere_moves_the_machine_when_it_is_whole():
    script = """\
frame search morpheus connection=keep-alive
send 1
expect PROTOHEADER
expect held 1
send 1
expect JSONHEADER
expect said PREFIX_READ
send 5
expect JSONHEADER
send
expect PROTOHEADER
expect said morpheus
expect in-flight 1
reply yes
expect said keep-alive
expect in-flight 0"""
    assert lines(*script.splitlines())[-1] == "  as expected"


def test_bytewise_is_the_same_as_whole():
    whole = say("frame search x", "send", "state")
    assert say("frame search x", "each", "state") == whole
    assert "FINISHED" in whole


def test_a_one_shot_request_ends_in_lingering_once_it_is_answered():
    lines("frame search x", "send", "expect FINISHED", "expect DRAINING", "reply", "expect LINGERING")
    lines("frame search x", "send", "reply", "eof", "expect CLOSED")


def test_eof_after_the_last_reply_closes_at_once():
    lines("frame search x connection=keep-alive", "send", "reply", "eof", "expect ENDED", "expect CLOSED")


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("hex 00 00", "bad-header"),
        ("frame search x content-length=-3", "bad-header"),
        ("frame search x content-length=99999999999", "content-too-large"),
        ("text GET", "PROTOHEADER -> JSONHEADER"),
        ("binary text/json nonsense content-encoding=utf-8", "rejected: bad-content"),
    ],
)
def test_bad_bytes_are_answered_as_the_server_would(written, code):
    assert code in say(written, "send")


def test_a_client_expects_replies_to_what_it_asked():
    script = ["ask search morpheus", "expect in-flight 1", "frame Follow the rabbit connection=keep-alive", "send"]
    lines(*script, "expect said rabbit", "expect in-flight 0", role="client")
    assert "no" in say("ask search x", "ask search y", role="client")  # keep-alive was not granted yet
    assert "for --role client" in say("ask search x")
    assert "a client does not reply" in say("reply x", role="client")


def test_giving_up_is_a_row_like_another():
    assert "GIVEN_UP" in say("frame search x", "send 10", "give up")


def test_life_takes_what_its_owner_decides_and_refuses_the_rest():
    assert "SHUTDOWN" in say("life SHUTDOWN")
    assert "by a coupling" in say("life LAST_MESSAGE")
    assert "no row for input SETTLED in state OPEN" in say("life SETTLED")
    assert "write life INPUT" in say("life NONSENSE")


def test_an_input_whose_guard_does_not_hold_is_refused_and_the_state_stays():
    begun = ("frame search x", "send 20", "life SHUTDOWN")
    needs = "needs RECEIVE in FINISHED, FAILED; no reply owed"
    assert f"input SETTLED in state DRAINING {needs}" in say(*begun, "life SETTLED")
    assert "LIFECYCLE DRAINING" in say(*begun, "life SETTLED", "state")
    rows = say(*begun, "rows")
    assert f"({needs})" in rows
    assert "SHUTDOWN -> DRAINING: already on the way out\n" in rows


def test_each_connection_has_machines_of_its_own():
    script = ["frame search x", "send 5", "on 2", "expect PROTOHEADER", "frame echo y", "send", "expect FINISHED"]
    said = lines(*script, "on 1", "expect JSONHEADER", "expect held 5", "expect in-flight 0", "reset", "on 2", "state")
    assert said[-2:] == ["  RECEIVE FINISHED, LIFECYCLE DRAINING", "  0 bytes held, 1 in flight, one-shot"]
    assert said[-3].startswith("2: FINISHED/DRAINING> ")
    assert "with N from 1 to 99" in say("on 100")


def test_what_arrives_while_paused_is_kept_and_served_when_it_goes_on():
    whole = ["frame echo 1 connection=keep-alive", "frame echo 2", "pause", "send", "expect PROTOHEADER"]
    lines(*whole, "expect in-flight 0", "expect said not looked at", "resume", "expect in-flight 2", "expect held 0")
    assert "not looked at" in say("pause", "eof")
    assert "it is not paused" in say("resume")


def test_bytes_that_move_nothing_are_told_together():
    said = say("frame search x", "each").splitlines()
    assert said[0] == "1 byte arrives, and nothing moves"
    assert sum("one by one, and nothing moves" in line for line in said) == 2
    assert sum(line.startswith("RECEIVE") for line in said) == 3
    assert say("frame search x", "send 4", "send 9", "pause", "each").endswith("one by one, and nothing moves")


def test_a_comment_is_shown_as_it_is():
    assert lines("# why", "state")[0] == "# why"


def test_looking_tells_where_it_is_and_what_can_happen():
    rows = say("rows")
    for row in (*RECEIVE.rows, *LIFECYCLE.rows):
        if row.state in ("PROTOHEADER", "OPEN"):
            assert f"{row.input} -> {row.target}: {row.reason}" in rows
    assert "prefix" in say("frame search x", "pipe")
    assert "can't be a message" in say("hex 00 00", "pipe")
    assert say("pipe") == "empty"
    assert say("frame search x", "send", "reset", "state").startswith("RECEIVE PROTOHEADER, LIFECYCLE OPEN")


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "hex 0",
        "frame",
        "subscribe",
        "binary",
        "send",
        "send x",
        "reply",
        "give in",
        "life",
        "expect",
        "expect held x",
    ],
)
def test_a_line_that_means_nothing_is_an_answer_and_moves_nothing(line):
    session = Session()
    assert session.do(line)
    assert session.do("state")[0] == "RECEIVE PROTOHEADER, LIFECYCLE OPEN"


def test_an_expectation_that_fails_ends_the_script_and_says_where():
    with pytest.raises(Unexpected, match=r"line 2: expected CONTENT; it is PROTOHEADER and OPEN"):
        lines("# a comment", "expect CONTENT")
    with pytest.raises(Unexpected, match="expected in-flight 1; it is 0"):
        lines("expect in-flight 1")


def test_quit_ends_a_script():
    assert lines("quit", "expect CONTENT") == ["PROTOHEADER/OPEN> quit"]


def test_the_help_names_every_command():
    assert all(f"  {name}" in HELP or f", {name}" in HELP for name in _COMMANDS)
    assert say("help") == HELP


def test_a_subscription_is_driven_by_its_inputs_alone():
    script = ["subscribe room/lobby", "expect CURRENT", "deliver ABOVE_HIGH", "expect BEHIND", "expect said references"]
    said = lines(*script, "subscribe other", "expect CURRENT", "subscribe room/lobby", "expect BEHIND", "state")
    assert said[-2:] == ["  DELIVERY of 'room/lobby' BEHIND", "  DELIVERY of 'other' CURRENT"]
    assert "PROTOHEADER/OPEN/BEHIND> state" in said
    rows = say("subscribe t", "rows")
    for row in DELIVERY.rows:
        assert (f"{row.input} -> {row.target}: {row.reason}" in rows) is (row.state == "CURRENT")
    assert "DELIVERY" not in say("rows")
    assert r"DELIVERY of '\x1b': CURRENT -> OVER" in say("subscribe \x1b", "deliver UNSUBSCRIBED")


def test_its_end_is_the_end_of_its_subscriptions():
    said = say("subscribe one", "deliver ABOVE_HIGH", "subscribe two", "deliver UNSUBSCRIBED", "life LOST")
    assert "DELIVERY of 'one': BEHIND -> OVER  on CONNECTION_ENDED" in said
    assert "two" not in said
    assert "only a connection that is OPEN" in say("life SHUTDOWN", "subscribe t")
    lines("subscribe t", "deliver UNSUBSCRIBED", "expect OVER", "subscribe t", "expect CURRENT", "eof", "expect OVER")


def test_what_no_subscription_can_be_given_is_an_answer():
    assert "write subscribe TOPIC" in say("deliver ABOVE_HIGH")
    assert "write deliver INPUT, one of MISSED_SOME, " in say("subscribe t", "deliver LOST")
    assert "no row for input CAUGHT_UP in state CURRENT" in say("subscribe t", "deliver CAUGHT_UP")
    assert "is for --role server" in say("subscribe t", role="client")
    assert "more than 99 subscriptions" in say(*(f"subscribe {n}" for n in range(100)))
