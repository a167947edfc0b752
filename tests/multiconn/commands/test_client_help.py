"""Is somebody who asks for no command told which there are?"""

from __future__ import annotations

import re

import pytest

from multiconn.commands import UsageError
from multiconn.commands.client import COMMANDS
from multiconn.commands.client_help import no_command
from multiconn.commands.client_options import CommandParser


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        no_command(words, COMMANDS)
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_help_has_a_line_for_each_command_and_the_tutorial_s_form(capsys: pytest.CaptureFixture[str]) -> None:
    said = asked(capsys, "--help")
    assert said.startswith("usage: app_client.py COMMAND ...\n       app_client.py HOST PORT ACTION VALUE\n")
    for name, (_, words) in COMMANDS.items():
        assert re.search(rf"^  {name} +{words[:30]}", said, re.MULTILINE)


def test_every_example_of_the_help_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib import import_module
    from shlex import split

    examples = re.findall(r"^  app_client\.py (.+?)(?:   .*)?$", asked(capsys, "-h"), re.MULTILINE)
    assert len(examples) >= 7
    for example in examples:
        words = split(example)
        if words[0] in COMMANDS:
            parser = CommandParser(words[0], "test")
            import_module(COMMANDS[words[0]][0], "multiconn.commands").add_arguments(parser)
            parser.parse_intermixed_args(words[1:])
        else:
            assert len(words) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "write a command (request, shell, "),
        (["--hurry"], "unknown option '--hurry': options come after the command"),
        (["reqest", "x"], "'reqest' is no command (there are request, "),
    ],
)
def test_anything_else_is_refused_with_what_there_is(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        no_command(words, COMMANDS)
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith("; see app_client.py --help")
