"""Models for the tests: a network with weights drawn at random, which needs no PyTorch to be made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.forecast import Autoregression, Forecaster, Record, Score
from ripstop.risk.forecast.forecaster import Errors
from ripstop.risk.forecast.onnxfile import Weights

WINDOW, HORIZON, HIDDEN = 12, 5, 6
SCORE = Score(1.0, 0.5, 0.8, 0.1, 0.9, 0.95, 0.9, 100, 90, 30)


@dataclass(frozen=True)
class SlowNetwork:
    """The LSTM as its equations read, one step and one gate after the other."""

    weights: Weights

    def correct(self, past: NDArray[np.float64]) -> NDArray[np.float64]:
        w, r, b = (self.weights[name] for name in "wrb")
        hidden = r.shape[1]
        answers = []
        for window in past:
            h = c = np.zeros(hidden)
            for x in window:
                pushed = w[:, 0] * x + r @ h + b[: 4 * hidden] + b[4 * hidden :]
                into, forget, cell, out = np.split(pushed, 4)
                c = _sigmoid(forget) * c + _sigmoid(into) * np.tanh(cell)
                h = _sigmoid(out) * np.tanh(c)
            answers.append(self.weights["out"] @ h + self.weights["bias"])
        return np.array(answers)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-x))


def drawn_weights() -> Weights:
    rng = np.random.default_rng(1)
    shapes = {"w": (4 * HIDDEN, 1), "r": (4 * HIDDEN, HIDDEN), "b": (8 * HIDDEN,)}
    shapes |= {"out": (HORIZON, HIDDEN), "bias": (HORIZON,)}
    return {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}


def make_model(*, promoted: bool = True, network: SlowNetwork | None = None) -> Forecaster:
    rng = np.random.default_rng(2)
    matrix = np.zeros((1, WINDOW + 1, HORIZON))
    matrix[0, -2] = 0.9 ** np.arange(1, HORIZON + 1)
    spread = np.sqrt(np.arange(1.0, HORIZON + 1))[None]
    errors = [Errors(rng.normal(size=(1, 99, HORIZON)) * spread, spread) for _ in range(2)]
    record = Record(
        "battery", 1, 1000, 20.0, "below", SCORE, SCORE, 0.2, 0.1, 0.3, promoted, "drawn", HIDDEN, 3, 2, 1
    )
    return Forecaster(
        WINDOW,
        HORIZON,
        60.0,
        np.array([50.0]),
        np.array([10.0]),
        Autoregression(matrix, (1,), (0.0,)),
        errors[0],
        network or SlowNetwork(drawn_weights()),
        errors[1],
        record,
    )


def thermostat(samples: int, seed: int) -> NDArray[np.float64]:
    """A signal that an AR cannot follow: up at one slope, down at another, turning at two limits."""
    rng = np.random.default_rng(seed)
    level, slope, values = 0.0, 1.0, []
    for _ in range(samples):
        level += slope * rng.uniform(0.8, 1.2)
        if level > 12.0:
            slope = -3.0
        elif level < 0.0:
            slope = 1.0
        values.append(level + rng.normal(0, 0.1))
    return np.array(values)
