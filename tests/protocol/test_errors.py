"""Each error's code is wire.md's, and its type states the consequence that wire.md gives it."""

from __future__ import annotations

import pytest

from protocol import errors
from protocol.errors import CODES, AnswerableError, FatalError, LocalError, ProtocolError

#: The table "Errors" of wire.md.
CLOSES = {"bad-header", "header-too-large", "content-too-large", "timeout", "overloaded", "shutting-down"}
STAYS_OPEN = {
    "unsupported-encoding",
    "bad-content",
    "bad-request",
    "unknown-action",
    "handler-failed",
    "deadline-exceeded",
}


def test_the_codes_are_exactly_those_of_the_wire():
    assert set(CODES) == CLOSES | STAYS_OPEN


@pytest.mark.parametrize("code", sorted(CLOSES))
def test_an_error_after_which_the_connection_closes_is_fatal(code):
    assert issubclass(CODES[code], FatalError)
    assert not issubclass(CODES[code], AnswerableError)


@pytest.mark.parametrize("code", sorted(STAYS_OPEN))
def test_an_error_after_which_the_connection_stays_open_is_answerable(code):
    assert issubclass(CODES[code], AnswerableError)
    assert not issubclass(CODES[code], FatalError)


@pytest.mark.parametrize("code", sorted(CODES))
def test_an_error_carries_its_code_and_its_sentence(code):
    error = CODES[code]("what happened")
    assert error.code == code
    assert str(error) == "what happened"


def test_a_mistake_of_our_own_side_never_goes_on_the_wire():
    assert not issubclass(LocalError, ProtocolError)
    assert not issubclass(ProtocolError, LocalError)


def test_every_error_says_in_words_when_it_happens():
    for kind in CODES.values():
        assert len((kind.__doc__ or "").split()) >= 3, kind


def test_every_public_name_is_there():
    for name in errors.__all__:
        assert hasattr(errors, name)
