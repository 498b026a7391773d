"""The pytest plugin: `pytest_plugins = ["ripstop.testing.plugin"]` in a conftest gives these fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ripstop.core.clock import ManualClock

from .stage import Stage


@pytest.fixture
def ripstop_stage() -> Iterator[Stage]:
    """A `Stage`; its agents are closed after the test."""
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def ripstop_clock(ripstop_stage: Stage) -> ManualClock:
    """The clock of the test's stage."""
    return ripstop_stage.clock
