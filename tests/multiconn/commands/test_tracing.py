"""Server and client offer the same options of tracing, though neither library may know of the other or of `study`."""

from __future__ import annotations

import argparse
from typing import Any

from multiconn.commands import server_options, tracing


def offered(parser: argparse.ArgumentParser) -> dict[str, tuple[Any, ...]]:
    return {
        action.option_strings[0]: (action.metavar, action.default, action.help)
        for action in parser._actions
        if action.option_strings[0].startswith("--trace")
    }


def server() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    server_options.add_trace_options(parser, int)
    return parser


def client() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    tracing.add_arguments(parser)
    return parser


def test_both_offer_the_same_in_the_same_words() -> None:
    assert offered(server()) == offered(client())
    assert list(offered(server())) == ["--trace", "--trace-sample", "--trace-bytes"]
