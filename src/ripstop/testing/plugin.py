"""The pytest plugin: wherever ripstop and pytest are installed, tests have these fixtures.

Nothing of ripstop is loaded before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ripstop.agent import Agent
    from ripstop.core.clock import ManualClock

    from .stage import Stage


@pytest.fixture
def ripstop_stage() -> Iterator[Stage]:
    """A `Stage`; its agents are closed after the test."""
    from .stage import Stage

    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def ripstop_clock(ripstop_stage: Stage) -> ManualClock:
    """The clock of the test's stage."""
    return ripstop_stage.clock


@pytest.fixture
def ripstop_agent(ripstop_stage: Stage) -> Callable[..., Agent]:
    """Makes agents on the test's stage: `ripstop_agent("drone-1", "policies/payload_limit.json")`."""
    return ripstop_stage.agent
