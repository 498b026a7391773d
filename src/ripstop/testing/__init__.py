"""For people who test their own agents: a clock moved by hand, scripted signals, asserted verdicts."""

from .stage import Stage, assert_allowed, assert_vetoed

__all__ = ["Stage", "assert_allowed", "assert_vetoed"]
