"""Fixtures: an agent with a scripted ground beside it."""

import pytest

from agent.scripted_ground import build_world


@pytest.fixture
def make_world():
    """Build an agent that is connected, and has had no round trip yet."""
    return build_world


@pytest.fixture
def world():
    """An agent that has had its first round trip."""
    made = build_world()
    made.round_trip()
    return made
