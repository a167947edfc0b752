"""A rate over time, and its integral."""

import math

import pytest

from multiconn.loadtest.profile import Profile, Stage


def test_a_profile_says_its_value_at_every_time():
    profile = Profile(10.0, [Stage(10, 20), Stage(0, 50), Stage(10, 0)])
    assert [profile.at(t) for t in (-1, 0, 5, 10, 15, 20, 99)] == [10, 10, 15, 50, 25, 0, 0]
    assert profile.highest == 50


def test_the_integral_is_the_area_and_its_inverse_leads_back():
    profile = Profile(10.0, [Stage(10, 20), Stage(10, 0)])
    assert [profile.mass(t) for t in (-1, 0, 10, 20, 99)] == [0, 0, 150, 250, 250]
    masses = [0.0, 1.0, 75.0, 150.0, 249.9]
    assert [profile.mass(at) for at in profile.when(masses)] == pytest.approx(masses)
    assert profile.when([250.1]) == [math.inf]
    assert Profile(4.0).when([0.0, 2.0]) == [0.0, 0.5]
