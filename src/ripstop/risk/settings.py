"""How an assessment is carried out, apart from what is asked; and the checks of both."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_number
from ripstop.risk.kinds import Kind

if TYPE_CHECKING:
    from ripstop.risk.work import Pool

MOST_TRIALS = 1 << 31


def _counts(value: object) -> bool:
    # Texts, lists and arrays have a `count` of another meaning.
    return not isinstance(value, type | Sequence | np.ndarray) and callable(getattr(value, "count", None))


POOL = Kind("who counts worlds, as `Threads(4)` does", _counts)


@dataclass(frozen=True, slots=True)
class Settings:
    """How an assessment is carried out.

    Attributes:
        confidence: of each interval and of each decision.
        fleet_wide: share the confidence among all nodes, so that all intervals hold together (Bonferroni).
        threshold: a probability to decide against; sampling stops once every node is settled.
        expected: give the expected share of every node too (slower on directed and dense graphs).
        workers: threads; the result does not depend on it.
        pool: who counts worlds, in place of threads; nor on this.
        tolerance: model `load`: spare capacity as a share of the load, where the graph gives no capacity.
        spread: models `load` and `flow`: standard deviation of a capacity, as a share of it; left out, it is
            0.1 in `load`, and 0 in `flow`, whose limits are what protection is set to.
    """

    confidence: float = 0.95
    fleet_wide: bool = False
    threshold: float | None = None
    expected: bool = False
    workers: int = 1
    pool: Pool | None = None
    tolerance: float = 0.2
    spread: float | None = None

    def __post_init__(self) -> None:
        check_share("confidence", self.confidence, "C0715", ends=False)
        if self.threshold is not None:
            threshold = check_share("threshold", self.threshold, "C0715", ends=False)
            object.__setattr__(self, "threshold", threshold)
        for name in ("fleet_wide", "expected"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                given = getattr(self, name)
                raise RiskInputError(f"`{name}` is `{given}`, expected true or false", code="C0715")
        check_whole("workers", self.workers, "C0715", least=1, below=MOST_TRIALS)
        if self.pool is not None:
            POOL.check("pool", self.pool)
        check_spread("tolerance", self.tolerance, "C0715")
        if self.spread is not None:
            check_spread("spread", self.spread, "C0715")


SETTINGS = Kind("settings", Settings)


def check_share(name: str, value: float, code: str, *, ends: bool = True) -> float:
    """Give the value as a float if it lies in 0..1 (without the ends, if so told)."""
    expected = "a number from 0 to 1" if ends else "a number between 0 and 1"
    number = as_number(value)
    if not (0.0 <= number <= 1.0) or (not ends and number in (0.0, 1.0)):
        raise RiskInputError(f"`{name}` is `{value}`, expected {expected}", code=code)
    return number


def check_spread(name: str, value: float, code: str) -> float:
    """Give the value if it is a finite number, 0 or more."""
    number = as_number(value)
    if not (math.isfinite(number) and number >= 0.0):
        raise RiskInputError(f"`{name}` is {value}, expected a finite number, 0 or more", code=code)
    return number


def check_theta(theta: float) -> float:
    """Give theta if it is a share: a cascade counts when the share failed exceeds it."""
    return check_share("theta", theta, "C0711")


def check_whole(name: str, value: int, code: str, *, least: int, below: int) -> int:
    """Give the value if it is a whole number in `least` .. `below` - 1."""
    try:
        number = operator.index(value)
    except (TypeError, ValueError):
        raise RiskInputError(f"`{name}` is `{value}`, expected a whole number", code=code) from None
    if not least <= number < below:
        raise RiskInputError(
            f"`{name}` is {number}, expected a whole number from {least} to {below - 1}", code=code
        )
    return number


def check_trials(trials: int) -> int:
    """Give the number of trials if it is at least one."""
    return check_whole("trials", trials, "C0712", least=1, below=MOST_TRIALS)


def check_seed(seed: int) -> int:
    """Give the seed if it fits 64 bits."""
    return check_whole("seed", seed, "C0713", least=0, below=1 << 64)
