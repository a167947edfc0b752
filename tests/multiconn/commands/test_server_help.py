"""The help that is a file is the parser's own. (That it is not stale: tests/test_docs.py.)"""

from __future__ import annotations

import argparse

from multiconn.commands.server_help import help_text
from multiconn.commands.server_options import build_parser


def test_the_help_tells_every_option_and_fits_a_terminal() -> None:
    text = help_text()
    parser = build_parser()
    assert parser.format_help() == text
    for action in parser._actions:
        if action.help is not argparse.SUPPRESS:
            for word in action.option_strings or [str(action.metavar)]:
                assert f" {word}" in text
    assert max(map(len, text.splitlines())) <= 80
