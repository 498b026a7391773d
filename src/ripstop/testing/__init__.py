"""For people who test their own agents: a clock moved by hand, scripted signals, asserted verdicts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stage import Stage as Stage
    from .stage import assert_allowed as assert_allowed
    from .stage import assert_limited as assert_limited
    from .stage import assert_vetoed as assert_vetoed

__all__ = ["Stage", "assert_allowed", "assert_limited", "assert_vetoed"]


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for: pytest loads the plugin beside it in every run."""
    if name not in __all__:
        raise AttributeError(f"module `ripstop.testing` has no attribute `{name}`")
    return getattr(importlib.import_module("ripstop.testing.stage"), name)
