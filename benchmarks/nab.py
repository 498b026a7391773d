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
def _sweep(score, gain, window, windows, tp, fp, fn):  # type: ignore[no-untyped-def]  # compiled
    """What each threshold earns, from the highest score down, above a detector that never alarms."""
    earned = np.full(windows, -fn)
    total, best, threshold = 0.0, 0.0, np.inf
    for i in range(len(score)):
        if window[i] >= 0:
            if tp * gain[i] > earned[window[i]]:
                total += tp * gain[i] - earned[window[i]]
                earned[window[i]] = tp * gain[i]
        else:
            total += fp * gain[i]
        is_last_of_its_score = i + 1 == len(score) or score[i + 1] < score[i]
        if is_last_of_its_score and total > best:
            best, threshold = total, score[i]
    return best, threshold


def best(
    series: Sequence[Series], scores: Sequence[np.ndarray], profile: str = "standard"
) -> tuple[float, float]:
    """The score of the best threshold (100: perfect, 0: never alarms), and that threshold."""
    tp, fp, fn = PROFILES[profile]
    offset, windows = 0, []
    for one in series:
        inside = one.window[one.probation :]
        windows.append(np.where(inside >= 0, inside + offset, -1))
        offset += one.windows
    score = np.concatenate([s[one.probation :] for one, s in zip(series, scores, strict=True)])
    gain = np.concatenate([one.gain[one.probation :] for one in series])
    window = np.concatenate(windows)
    if len(score) > _CANDIDATES:
        top = np.argpartition(-score, _CANDIDATES)[:_CANDIDATES]
        score, gain, window = score[top], gain[top], window[top]
    order = np.argsort(-score, kind="stable")
    raw, threshold = _sweep(score[order], gain[order], window[order], offset, tp, fp, fn)
    return 100.0 * raw / ((tp + fn) * offset), threshold


def at(
    series: Sequence[Series], scores: Sequence[np.ndarray], threshold: float, profile: str = "standard"
) -> float:
    """The score of a given threshold."""
    tp, fp, fn = PROFILES[profile]
    raw, windows = 0.0, 0
    for one, score in zip(series, scores, strict=True):
        alarm = score >= threshold
        alarm[: one.probation] = False
        raw += fp * float(one.gain[alarm & (one.window < 0)].sum())
        for number in range(one.windows):
            inside = alarm & (one.window == number)
            raw += tp * float(one.gain[inside].max()) + fn if inside.any() else 0.0
        windows += one.windows
    return 100.0 * raw / ((tp + fn) * windows)


def halves(series: Sequence[Series], times: int, seed: int) -> list[tuple[list[int], list[int]]]:
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
