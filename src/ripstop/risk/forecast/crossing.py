"""What is asked of a forecast, and the answer: does a signal cross a limit within the horizon, and when."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.series import Floats
from ripstop.risk.inputs import as_number
from ripstop.risk.kernels.crossing import count_first_crossings
from ripstop.risk.kinds import WHOLE, Kind, takes

SIDES = ("above", "below")


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, in the signal's unit; `side` says where the bad side of it is.

    A policy's margin is crossed `below` 0.

    Raises:
        RiskInputError: C0715, for a value that is no finite number or another side.
    """

    value: float
    side: str = "above"

    def __post_init__(self) -> None:
        if not math.isfinite(as_number(self.value)):
            raise RiskInputError(f"`limit` is {self.value}, expected a finite number", code="C0715")
        if not isinstance(self.side, str) or self.side not in SIDES:
            raise RiskInputError(f"`side` is `{self.side}`, expected `above` or `below`", code="C0715")

    def signed(self, values: Floats) -> Floats:
        """Turn values so that what is 0 or more has crossed."""
        turned: Floats = values - self.value if self.side == "above" else self.value - values
        return turned


LIMIT = Kind("a limit", Limit)


@dataclass(frozen=True, eq=False)
class CrossingReport:
    """For each of many series: does it cross the limit within the horizon, when, and what comes then.

    A series that has crossed already has probability 1 and time 0. One whose window cannot be read (a gap too
    long, or at its start) is not known: its figures are NaN, and nothing is claimed of it.

    Attributes:
        names: of the series.
        limit: what was asked.
        probability: of crossing within the horizon.
        time_s: median time to crossing; infinite where less than half of all paths cross.
        earliest_s, latest_s: interval of the time to crossing; infinite stands for "not within the horizon".
        forecast, low, high: shape (series, horizon); the band holds for the whole path at once.
        confidence: of band and interval, as split conformal prediction promises it.
        step_s: between samples; the horizon is `forecast.shape[1]` of them.
        model: `ar` or `lstm+ar`: what answered.
        notes: why the model is not the better one, and what limits the result.

    References:
        Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World (split conformal).
    """

    names: tuple[Hashable, ...]
    limit: Limit
    probability: Floats
    time_s: Floats
    earliest_s: Floats
    latest_s: Floats
    forecast: Floats
    low: Floats
    high: Floats
    confidence: float
    step_s: float
    model: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """For each series, whether anything can be said."""
        return np.isfinite(self.probability)

    @takes(top=WHOLE)
    def ranking(self, top: int | None = None) -> tuple[int, ...]:
        """Give places of series, the likeliest and soonest to cross first; those not known come last."""
        order = np.lexsort((self.time_s, -self.probability))
        return tuple(order[:top].tolist())

    def to_json(self) -> dict[str, object]:
        """Give the report as plain JSON; what is infinite or not known becomes null."""
        columns: Mapping[str, Floats] = {
            name: getattr(self, name) for name in ("probability", "time_s", "earliest_s", "latest_s")
        }
        paths = {name: getattr(self, name) for name in ("forecast", "low", "high")}
        series = [
            {"name": self.names[i] if isinstance(self.names[i], int) else str(self.names[i])}
            | {name: plain(float(column[i])) for name, column in columns.items()}
            | {name: [plain(v) for v in path[i].tolist()] for name, path in paths.items()}
            for i in range(len(self))
        ]
        return {
            "limit": {"value": self.limit.value, "side": self.limit.side},
            "model": self.model,
            "confidence": self.confidence,
            "step_s": self.step_s,
            "horizon": self.forecast.shape[1],
            "notes": list(self.notes),
            "series": series,
        }


def plain(value: float) -> float | None:
    """Give a finite number, None for any other."""
    return value if math.isfinite(value) else None


def passage(forecast: Floats, paths: Floats, limit: Limit, sizes: Floats | None = None) -> Floats:
    """Give the distribution of the first crossing, from what errors were seen.

    Args:
        forecast: shape (series, horizon).
        paths: errors of whole forecasts, shape (series or 1, paths, horizon), same unit.
        limit: to be crossed.
        sizes: by how much each path is stretched, shape (series, paths); by default not at all.

    Returns:
        Shape (series, horizon): P(crossed by the end of each step).
    """
    sign = 1.0 if limit.side == "above" else -1.0
    with np.errstate(over="ignore"):  # what is too large for single precision is infinite, on the right side
        turned = np.ascontiguousarray(limit.signed(forecast), np.float32)
    counts = np.zeros((len(forecast), forecast.shape[1] + 1), np.int32)
    size = np.ones((1, paths.shape[1]), np.float32) if sizes is None else sizes.astype(np.float32)
    count_first_crossings(turned, np.ascontiguousarray(-sign * paths, np.float32), size, counts)
    by: Floats = np.cumsum(counts[:, :-1], axis=1) / max(paths.shape[1], 1)
    return by


def first_step(crossed: NDArray[np.bool_]) -> Floats:
    """Give the 1-based step of the first truth in each row, infinite where there is none."""
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1.0, np.inf)
