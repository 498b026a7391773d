"""For people who test their own agents: a clock moved by hand, scripted signals, asserted verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripstop.core.ondemand import on_demand

if TYPE_CHECKING:
    from .stage import Stage as Stage
    from .stage import assert_allowed as assert_allowed
    from .stage import assert_limited as assert_limited
    from .stage import assert_vetoed as assert_vetoed

__all__ = ["Stage", "assert_allowed", "assert_limited", "assert_vetoed"]


# pytest loads the plugin beside it in every run.
__getattr__, __dir__ = on_demand(__name__, dict.fromkeys(__all__, "stage"))
