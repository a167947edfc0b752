"""What this machine can't do is said before the first connection, with the number."""

import resource

import pytest

from libclient.load import preflight
from libclient.load.preflight import PreflightError, available_ports, check_descriptors, check_ports


def test_enough_descriptors_pass():
    check_descriptors(968, 1000)
    check_descriptors(10**9, resource.RLIM_INFINITY)


def test_too_few_descriptors_name_the_limit_and_what_would_fit():
    with pytest.raises(PreflightError, match=r"969 connections need 1,001 descriptors.* 1,000 .*-c 968 or fewer"):
        check_descriptors(969, 1000)


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


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch):
    asked = []
    monkeypatch.setattr(preflight.resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(preflight.resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert preflight.raise_descriptor_limit() == 4096
    assert asked == [(4096, 4096)]


def test_a_system_that_refuses_leaves_the_soft_limit(monkeypatch):
    def refuse(_, limits):
        raise ValueError

    monkeypatch.setattr(preflight.resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(preflight.resource, "setrlimit", refuse)
    assert preflight.raise_descriptor_limit() == 256
