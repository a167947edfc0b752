"""What this machine can't do is said before the first connection, with the number."""

import resource

import pytest

from eventloop import Address
from libclient.errors import NoDescriptors
from multiconn.commands.client import main
from multiconn.loadtest.engine.preflight import PreflightError, available_ports, check_ports, preflight


def test_too_few_ports_name_the_range_and_what_would_fit():
    check_ports(28232, 28232, "tcp://h:1")
    check_ports(10**9, None, "tcp://h:1")
    with pytest.raises(PreflightError, match=r"28,233 connections to tcp://h:1 .*28,232 .*-c 28232 or fewer"):
        check_ports(28233, 28232, "tcp://h:1")


@pytest.mark.parametrize(
    ("reserved", "ports"),
    [
        ("", 1001),
        ("8080", 1001),
        ("1000", 1000),
        ("1000-1009,1500,1990-3000", 1001 - 10 - 1 - 11),
        ("1-999,2001-3000", 1001),
    ],
)
def test_reserved_ports_are_not_available(tmp_path, reserved, ports):
    (tmp_path / "range").write_text("1000\t2000\n")
    (tmp_path / "reserved").write_text(reserved + "\n")
    assert available_ports(tmp_path / "range", tmp_path / "reserved") == ports


def test_a_system_that_does_not_tell_has_no_known_number_of_ports(tmp_path):
    assert available_ports(tmp_path / "none", tmp_path / "none") is None
    (tmp_path / "range").write_text("1000 1009")
    assert available_ports(tmp_path / "range", tmp_path / "none") == 10


def test_more_connections_than_descriptors_are_refused_with_the_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system has no limit of descriptors")
    with pytest.raises(NoDescriptors, match=str(hard)):
        preflight(hard, None)


def test_more_connections_than_ports_are_refused_unless_there_are_none(monkeypatch):
    monkeypatch.setattr("multiconn.loadtest.engine.preflight.available_ports", lambda: 5)
    with pytest.raises(PreflightError, match="bundled server"):
        preflight(6, None)
    with pytest.raises(PreflightError, match="tcp://h:1"):
        preflight(6, Address("tcp", "h", 1))
    preflight(6, Address("unix", path="/s"))


# --- what a command needs ----------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """How many descriptors and ports are asked for; then the command ends, since one there is too few."""
    seen = {"descriptors": [], "ports": []}

    def ports(connections, available, target, sources=1):
        seen["ports"].append((target, connections))
        if len(seen["ports"]) == seen["last"]:
            raise PreflightError("enough")

    monkeypatch.setattr("multiconn.loadtest.engine.preflight.raise_descriptor_limit", seen["descriptors"].append)
    monkeypatch.setattr("multiconn.loadtest.engine.preflight.check_ports", ports)
    return seen


@pytest.mark.parametrize(
    ("options", "descriptors", "ports"),
    [
        (["127.0.0.1:1", "-c", "100"], [100], [("tcp://127.0.0.1:1", 100)]),
        # workers are processes: each has its share of the descriptors, and all have one address's ports
        (["127.0.0.1:1", "-c", "101", "-w", "4", "--idle", "7"], [26 + 2], [("tcp://127.0.0.1:1", 108)]),
        (["-c", "100", "-w", "4"], [100], [("the bundled server", 100)]),  # which has them all
        # two servers, both connected to: one process's descriptors, but ports of two destinations
        (
            ["127.0.0.1:1", "--against", "127.0.0.1:2", "-c", "100"],
            [200, 200],
            [("tcp://127.0.0.1:1", 100), ("tcp://127.0.0.1:2", 100)],
        ),
        # one server under two names
        (
            ["127.0.0.1:1", "--against", "localhost:1", "-c", "100"],
            [200, 200],
            [("tcp://127.0.0.1:1", 200), ("tcp://localhost:1", 200)],
        ),
        (["--against", "127.0.0.1:2", "-c", "9"], [18, 18], [("the bundled server", 9), ("tcp://127.0.0.1:2", 9)]),
    ],
)
def test_descriptors_are_a_process_s_and_ports_a_destination_s(options, descriptors, ports, asked, capsys):
    asked["last"] = len(ports)
    assert main(["load", *options]) == 2
    assert "enough" in capsys.readouterr().err
    assert asked["descriptors"] == descriptors
    assert asked["ports"] == ports
