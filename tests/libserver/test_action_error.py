"""Tests of how a handler refuses: a code and a message, both text, and nothing else."""

from __future__ import annotations

import pytest

from libserver import ActionError, actions
from protocol.errors import AnswerableError


def test_it_has_a_code_and_words_and_the_connection_goes_on() -> None:
    error = ActionError("no-such-room", "there is no room of that name")
    assert (error.code, str(error)) == ("no-such-room", "there is no room of that name")
    assert isinstance(error, AnswerableError)


@pytest.mark.parametrize("words", [(404, "not found"), ("x", None), (None, None), (b"x", "y")])
def test_what_is_no_text_is_the_handler_s_mistake(words: tuple[object, object]) -> None:
    with pytest.raises(TypeError, match="both strings"):
        ActionError(*words)  # type: ignore[arg-type]


def test_it_is_the_one_that_the_registry_names() -> None:
    assert actions.ActionError is ActionError
