"""Are the server's limits in reach of the peers that a soak has?"""

from __future__ import annotations

import pytest

from benchmarks.soak.settings import Settings
from multiconn.commands.server_options import build_parser


@pytest.mark.parametrize(("seconds", "quiet"), [(6.0, 1.2), (300.0, 60.0), (3000.0, 60.0)])
def test_a_fifth_of_the_time_is_quiet_and_at_most_a_minute(seconds: float, quiet: float) -> None:
    settings = Settings.lasting(seconds, seed=20)
    assert (settings.quiet, settings.quiet + settings.chaos, settings.seed) == (quiet, seconds, 20)


def test_the_server_is_started_with_the_limits_that_are_meant() -> None:
    settings = Settings(quiet=1, chaos=2, timeout=0.4, server=("python", "it.py"))
    begin, options = settings.command_line()[:2], settings.command_line()[2:]
    assert begin == ["python", "it.py"]
    args = build_parser().parse_args(options)
    assert (args.host, args.port) == ("127.0.0.1", 0)
    assert (args.max_connections, args.max_content) == (settings.max_connections, settings.max_content)
    assert (args.header_timeout, args.send_timeout, args.idle_timeout) == (0.4, 0.4, 0.8)


def test_a_bad_peer_of_each_kind_finds_room_beside_the_good_traffic() -> None:
    from benchmarks.soak.scripts import KINDS

    settings = Settings.lasting(60.0, 1)
    assert settings.connections + settings.of_each * len(KINDS) < settings.max_connections
    assert settings.output_limit < settings.max_content
