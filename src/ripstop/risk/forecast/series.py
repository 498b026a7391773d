"""Histories of one metric, made fit to learn from: gaps bridged, even steps, parts in the order of time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_array, as_number, as_numbers, checked_names, is_row

Floats = NDArray[np.float64]

LONGEST_GAP = 5
"""Samples in a row that may be missing and are bridged by a straight line."""

PARTS = (0.55, 0.10, 0.175, 0.175)
"""Shares of a history, in the order of time: to fit on, to select by, to calibrate on, to judge by."""

MOST = 20_000
"""Windows that a part gives at most, evenly thinned: more teach nothing, and would fill the memory."""

LARGEST = 1e150
"""Size of a value at most: beyond it squares are no numbers."""

FEWEST = 20
"""Windows that calibrating and judging need at least."""


@dataclass(frozen=True, eq=False)
class Windows:
    """What was seen and what came then: shapes (windows, window) and (windows, horizon).

    Attributes:
        past, future: in one unit.
        block: for each window, which stretch of a series it is from; windows of one block overlap.
    """

    past: Floats
    future: Floats
    block: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.past)

    def thinned(self, most: int) -> Windows:
        """Keep at most so many windows, evenly spread."""
        kept = np.linspace(0, len(self) - 1, min(most, len(self))).round().astype(np.int64)
        return Windows(self.past[kept], self.future[kept], self.block[kept])


def checked_histories(histories: Sequence[ArrayLike] | ArrayLike) -> tuple[Floats, ...]:
    """Give each history as floats; a missing value is NaN. One array of one dimension is one history.

    Raises:
        RiskInputError: C0751, for nothing, a value that is no number or infinite, or another shape.
    """
    if not is_row(histories):
        raise RiskInputError("`histories` are no series of numbers", code="C0751")
    if isinstance(histories, np.ndarray):
        rows = [histories] if histories.ndim == 1 else list(histories)
    else:
        rows = list(histories)  # type: ignore[arg-type]  # a row, as was asked above
        if rows and as_array(rows[0]).ndim == 0 and not is_row(rows[0]):
            rows = [np.asarray(rows)]
    if not rows:
        raise RiskInputError("there is no history, expected at least one", code="C0751")
    return tuple(_checked(row, place) for place, row in enumerate(rows))


def checked_series(names: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Give the names of series; two may be alike.

    Raises:
        RiskInputError: C0751.
    """
    return checked_names(names, "names", code="C0751", once=False)


def _checked(row: ArrayLike, place: int) -> Floats:
    values = as_numbers(row)
    if values.ndim != 1:
        raise RiskInputError(
            f"history {place} has shape {values.shape}, expected one dimension", code="C0751"
        )
    suspect = np.flatnonzero(~np.isfinite(values))
    given = np.asarray(row, dtype=object) if len(suspect) else values
    wrong = [at for at in suspect.tolist() if given[at] is not None and given[at] == given[at]]
    if wrong:
        raise RiskInputError(
            f"history {place} has `{given[wrong[0]]}` at sample {wrong[0]}, expected a finite number",
            code="C0751",
            hint="a missing value is NaN",
        )
    large = np.flatnonzero(np.abs(values) > LARGEST)
    if len(large):
        raise RiskInputError(
            f"history {place} has {values[large[0]]:g} at sample {large[0]}, expected at most {LARGEST:g}",
            code="C0751",
            hint="give it in a larger unit",
        )
    return values


def bridged(values: Floats, most: int = LONGEST_GAP) -> Floats:
    """Fill gaps of up to `most` samples: straight across, and at the end by holding the last value.

    Args:
        values: shape (..., samples); NaN is missing.
        most: longer gaps, and those at the start, stay.
    """
    known = np.isfinite(values)
    if known.all():
        return values
    count = values.shape[-1]
    place = np.arange(count)
    before = np.maximum.accumulate(np.where(known, place, -1), axis=-1)
    after = np.minimum.accumulate(np.where(known, place, count)[..., ::-1], axis=-1)[..., ::-1]
    left = np.take_along_axis(values, np.maximum(before, 0), axis=-1)
    right = np.take_along_axis(values, np.minimum(after, count - 1), axis=-1)
    right = np.where(after == count, left, right)
    share = (place - before) / np.maximum(after - before, 1)
    filled = (before >= 0) & (after - before - 1 <= most) & ~known
    return np.where(filled, left + share * (right - left), values)


def windows_of(histories: Sequence[Floats], part: int, window: int, horizon: int) -> Windows:
    """Cut windows whose future lies in one part of their history; gaps that are too long are cut around.

    Raises:
        RiskInputError: C0751, if there are fewer than `FEWEST`.
    """
    edges = np.concatenate([[0.0], np.cumsum(PARTS)])
    found: list[tuple[Floats, NDArray[np.int64], NDArray[np.int64]]] = []
    stretch = 0
    for history in histories:
        low, high = (round(float(edge) * len(history)) for edge in edges[part : part + 2])
        piece = bridged(history)[max(low - window, 0) : high]
        if len(piece) < window + horizon:
            continue
        views = np.lib.stride_tricks.sliding_window_view(piece, window + horizon)
        whole = np.flatnonzero(np.isfinite(views).all(axis=1))
        found.append((views, whole, stretch + whole // (window + horizon)))
        stretch += len(views) // (window + horizon) + 1
    count = sum(len(whole) for _, whole, _ in found)
    if count < FEWEST:
        longest = max(len(history) for history in histories)
        raise RiskInputError(
            f"the longest history has {longest} samples, which leave {count} windows of {window} + {horizon} "
            f"to {('fit on', 'select by', 'calibrate on', 'judge by')[part]}, expected {FEWEST} or more",
            code="C0751",
            hint=f"give longer histories ({round((horizon + FEWEST) / min(PARTS))} samples or so), "
            "fewer gaps, or a shorter window or horizon",
        )
    step = -(-count // MOST)
    return Windows(
        np.concatenate([views[whole[::step], :window] for views, whole, _ in found]),
        np.concatenate([views[whole[::step], window:] for views, whole, _ in found]),
        np.concatenate([block[::step] for _, _, block in found]),
    )


def check_step(step_s: float) -> float:
    """Give the seconds between samples, if they are some.

    Raises:
        RiskInputError: C0715.
    """
    step = as_number(step_s)
    if not 0.0 < step < np.inf:
        raise RiskInputError(f"`step_s` is {step_s}, expected a finite number above 0", code="C0715")
    return step


def evenly(t_s: ArrayLike, values: ArrayLike, step_s: float | None = None) -> tuple[Floats, float]:
    """Put samples on an even grid: between neighbours by a straight line, NaN where they are too far apart.

    Args:
        t_s: times in any order, s; of equal ones the last counts.
        values: shape (samples,), NaN where missing.
        step_s: of the grid; by default the median step between samples.

    Returns:
        The values on the grid, and its step.

    Raises:
        RiskInputError: C0751, for fewer than two times that differ, or a grid beyond 2**26 steps; C0715 for a
            step that is none.
    """
    given = None if step_s is None else check_step(step_s)
    times, samples = as_numbers(t_s), as_numbers(values)
    if times.ndim != 1 or samples.shape != times.shape or not np.isfinite(times).all():
        raise RiskInputError(
            f"times have shape {times.shape} and samples {samples.shape}, expected one finite time a sample",
            code="C0751",
        )
    order = np.argsort(times, kind="stable")
    t, v = times[order], samples[order]
    last = np.append(np.diff(t) > 0, True)
    t, v = t[last], v[last]
    known = np.isfinite(v)
    if known.sum() < 2:
        raise RiskInputError("there are no two samples at different times", code="C0751")
    step = float(np.median(np.diff(t))) if given is None else given
    if not (t[-1] - t[0]) / step < 1 << 26:
        raise RiskInputError(
            f"samples from {t[0]:g} to {t[-1]:g} s make too many steps of {step:g} s", code="C0751"
        )
    t, v = t[known], v[known]
    grid = t[0] + step * np.arange(int(np.floor((t[-1] - t[0]) / step + 1e-9)) + 1)
    at = np.clip(np.searchsorted(t, grid + 1e-9 * step, side="right"), 1, len(t) - 1)
    near = t[at] - t[at - 1] <= (LONGEST_GAP + 1.001) * step
    near |= np.minimum(np.abs(grid - t[at - 1]), np.abs(grid - t[at])) <= 1e-6 * step
    return np.where(near, np.interp(grid, t, v), np.nan), step
