"""The Numenta Anomaly Benchmark: its series and its scorer, written from the paper and its reference rules.

Sources: Lavin and Ahmad (2015), Evaluating real-time anomaly detection algorithms (ICMLA); the scoring rules
of NAB 1.1 (windows, probation of 15 % of a series and at most 750 rows, sigmoid weights, three profiles). An
EWMA z-score of gain .002 comes to 40.5, as another implementation of the scorer found.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numba import njit

# true positive, false positive, false negative
PROFILES = {"standard": (1.0, 0.11, 1.0), "low FP": (1.0, 0.22, 1.0), "low FN": (1.0, 0.11, 2.0)}
_PROBATION, _PROBATION_ROWS = 0.15, 5000
_CANDIDATES = 20_000  # no useful threshold lets more rows alarm
_FAMILIES = (
    "art_daily", "ec2_cpu", "ec2_disk", "ec2_network", "rds_cpu", "exchange-2", "exchange-3", "exchange-4",
    "rogue_agent", "TravelTime", "occupancy", "speed", "Twitter_volume",
)  # fmt: skip
_LEVELS = np.exp(np.arange(2.3, -2.3, -0.02))
_KERNEL = np.exp(-0.5 * (np.arange(-80, 81) * 0.02 / 0.3) ** 2)
_KERNEL /= _KERNEL.sum()


@dataclass(frozen=True)
class Series:
    """One series: `gain` is what an alarm at a row earns, `window` the labelled window around it (or -1)."""

    name: str
    t_us: np.ndarray
    values: np.ndarray
    gain: np.ndarray
    window: np.ndarray
    windows: int
    probation: int


def _sigmoid(x: float) -> float:
    return -1.0 if x > 3 else 2 / (1 + math.exp(5 * x)) - 1


def _t_us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


def _weights(count: int, windows: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    gain, window = np.zeros(count), np.full(count, -1)
    best = _sigmoid(-1.0)
    past: tuple[int, int] | None = None
    at = 0
    for row in range(count):
        while at < len(windows) and row > windows[at][1]:
            past, at = windows[at], at + 1
        if at < len(windows) and row >= windows[at][0]:
            first, last = windows[at]
            gain[row] = _sigmoid(-(last - row + 1) / (last - first + 1)) / best
            window[row] = at
        else:
            gain[row] = -1.0 if past is None else _sigmoid((row - past[1]) / max(past[1] - past[0], 1))
    return gain, window


def load(folder: Path) -> list[Series]:
    """Read all series below a folder that holds `data` and `labels`."""
    found = []
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    for name in sorted(labels):
        with (folder / "data" / name).open() as file:
            rows = list(csv.reader(file))[1:]
        t_us = np.array([_t_us(row[0]) for row in rows])
        values = np.array([float(row[1]) for row in rows])
        windows = [
            (int(np.searchsorted(t_us, _t_us(a), "left")), int(np.searchsorted(t_us, _t_us(b), "right")) - 1)
            for a, b in labels[name]
        ]
        gain, window = _weights(len(rows), windows)
        probation = int(min(len(rows), _PROBATION_ROWS) * _PROBATION)
        found.append(Series(name, t_us, values, gain, window, len(windows), probation))
    return found


@njit(cache=True)
def _sweep(score, gain, window, series, among, levels, weights, earned, out):  # type: ignore[no-untyped-def]  # compiled
    """What each threshold of `levels` (falling) earns, above a detector that never alarms."""
    tp, fp, fn = weights
    earned[:] = -fn
    total, at = 0.0, 0
    for level in range(len(levels)):
        while at < len(score) and score[at] >= levels[level]:
            if among[series[at]]:
                if window[at] < 0:
                    total += fp * gain[at]
                elif tp * gain[at] > earned[window[at]]:
                    total += tp * gain[at] - earned[window[at]]
                    earned[window[at]] = tp * gain[at]
            at += 1
        out[level] = total


class Ranking:
    """The rows of all series by falling score, to look up what a threshold earns among some of the series.

    Earnings are in NAB's scale: 100 is perfect, 0 never alarms.
    """

    def __init__(self, series: Sequence[Series], scores: Sequence[np.ndarray]) -> None:
        offsets = np.cumsum([0] + [one.windows for one in series])
        self._windows = np.diff(offsets)
        inside = [one.window[one.probation :] for one in series]
        window = [np.where(w >= 0, w + offset, -1) for w, offset in zip(inside, offsets, strict=False)]
        owner = np.concatenate([np.full(len(w), index) for index, w in enumerate(window)])
        score = np.concatenate([s[one.probation :] for one, s in zip(series, scores, strict=True)])
        gain = np.concatenate([one.gain[one.probation :] for one in series])
        top = np.argpartition(-score, _CANDIDATES)[:_CANDIDATES] if len(score) > _CANDIDATES else slice(None)
        order = np.argsort(-score[top], kind="stable")
        self._rows = tuple(
            column[top][order] for column in (score, gain, np.concatenate(window).astype(np.int64), owner)
        )

    def _earned(self, levels: np.ndarray, profile: str, among: Sequence[int] | None) -> np.ndarray:
        chosen = np.zeros(len(self._windows), bool)
        chosen[slice(None) if among is None else list(among)] = True
        tp, fp, fn = PROFILES[profile]
        out, earned = np.empty(len(levels)), np.empty(self._windows.sum())
        _sweep(*self._rows, chosen, levels, (tp, fp, fn), earned, out)
        return 100.0 * out / ((tp + fn) * self._windows[chosen].sum())

    def best(self, profile: str = "standard", among: Sequence[int] | None = None) -> tuple[float, float]:
        """What the best threshold earns, as NAB is published, and that threshold."""
        levels = np.append(np.inf, np.unique(self._rows[0])[::-1])
        earned = self._earned(levels, profile, among)
        return float(earned.max()), float(levels[earned.argmax()])

    def at(self, threshold: float, profile: str = "standard", among: Sequence[int] | None = None) -> float:
        """What a given threshold earns."""
        return float(self._earned(np.array([threshold]), profile, among)[0])

    def choose(self, profile: str = "standard", among: Sequence[int] | None = None) -> tuple[float, float]:
        """What thresholds around the best earn in the mean, and the best of these.

        A threshold that is best by one lucky row is not best elsewhere, so earnings are smoothed over the
        logarithm of the threshold, with a deviation of 0.3.
        """
        earned = self._earned(_LEVELS, profile, among)
        reach = len(_KERNEL) // 2
        smooth = np.convolve(np.pad(earned, reach, mode="edge"), _KERNEL, mode="valid")
        return float(smooth.max()), float(_LEVELS[smooth.argmax()])


Split = tuple[list[int], list[int]]


def halves(series: Sequence[Series], times: int, seed: int) -> list[Split]:
    """Split the series in two halves, each folder of them in two, again and again."""
    rng = np.random.default_rng(seed)
    folders: dict[str, list[int]] = {}
    for index, one in enumerate(series):
        folders.setdefault(one.name.partition("/")[0], []).append(index)
    found = []
    for _ in range(times):
        chosen: list[int] = []
        kept: list[int] = []
        extra = 0
        for members in folders.values():
            order = [int(i) for i in rng.permutation(members)]
            cut = (len(order) + extra) // 2
            extra = (len(order) + extra) % 2
            chosen += order[:cut]
            kept += order[cut:]
        found.append((chosen, kept))
    return found


def families(series: Sequence[Series], folds: int, times: int, seed: int) -> list[Split]:
    """Keep every `folds`-th family of siblings back in turn, again and again; no family is split.

    Siblings have their name in common up to what tells them apart: `Twitter_volume`, `ec2_cpu_utilization`.
    """
    named: dict[str, list[int]] = {}
    for index, one in enumerate(series):
        named.setdefault(_family(one.name), []).append(index)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(times):
        order = rng.permutation(len(named))
        members = list(named.values())
        for fold in range(folds):
            kept = [index for place in order[fold::folds] for index in members[place]]
            found.append(([index for index in range(len(series)) if index not in kept], kept))
    return found


def _family(name: str) -> str:
    folder, _, file = name.removesuffix(".csv").partition("/")
    for family in _FAMILIES:
        if file.startswith(family):
            return f"{folder}/{family}"
    return name
