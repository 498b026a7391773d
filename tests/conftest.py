"""What every test shares: how hard the property tests search, and logging as it was at the start."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# No deadline: a busy machine is not a finding. `make soak` searches much longer.
settings.register_profile("quick", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def structlog_as_at_the_start() -> Iterator[None]:
    """Undo what a command that a test ran in this process set for all of it."""
    yield
    structlog.reset_defaults()
