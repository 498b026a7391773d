"""Swings measured without a model of their cause: subspace identification from frequencies and injections.

Theory of operation. A long regression of the speeds on past speeds and injections (VARX) holds the poles of
the network whatever drives it: loads that nobody measures only add states, and meters bias it little. Its
impulse responses, applied to the past, span the states; a singular value decomposition finds them, and two
regressions give A, B, C, D and the innovations' gain K. A network of m machines has m - 1 swings: of all
poles those that move the machines most against each other. How sure they are, and how biased, is told by
copies of the record, drawn from the fitted model with its own innovations, that go the same way.

References:
    Chiuso (2007), The role of vector autoregressive modeling in predictor-based subspace identification,
    Automatica 43.
    Bauer (2005), Asymptotic properties of subspace estimators, Automatica 41.
    Efron, Tibshirani (1993), An Introduction to the Bootstrap, 8.5 and 10.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ripstop.risk.swing import Complexes, Floats

COPIES = 60
PURPOSE = 0x73756273  # "subs": keys these draws apart from other uses of a seed
FINE = 6.0  # samples in the fastest swing; more make neighbouring ones alike
BANDWIDTH = 0.95  # of the machines' motion against each other lies below the fastest swing
STATES = 3  # for each machine: its angle and speed, and one of what drives it
FEWEST = 40.0  # periods of each swing in a record; from fewer its damping is told too well
DAMPED = 0.5  # ratio; what is damped more hardly swings: a governor's or a load's state was taken for a swing
DRIVEN = 0.5  # share that injections explain; at a fiftieth the damping was told too high, at .85 it was not
SPARE = 4.0  # samples for each number that is regressed
FURTHER = 3  # times as far as Akaike's criterion asks the regression looks back (Bauer)


@dataclass(frozen=True, eq=False)
class Swings:
    """The swings that were measured.

    Attributes:
        poles: 1/s, with the imaginary part above 0, shape (swings,).
        drawn: what copies of the record gave, shape (copies, swings).
        driven: share of the machines' motion against each other that the injections explain; the rest of it
            has causes that nobody measures.
    """

    poles: Complexes
    drawn: Complexes
    driven: float

    @property
    def eigenvalues(self) -> Complexes:
        """The poles and their mirror images, the one that decays least first."""
        both = np.concatenate([self.poles, self.poles.conj()])
        return both[np.argsort(-both.real, kind="stable")]

    @property
    def damping(self) -> float:
        """The least damping ratio."""
        return float(_ratio(self.poles).min())

    @property
    def notes(self) -> list[str]:
        """Say what the figures rest on, where that is little."""
        if self.driven >= DRIVEN:
            return []
        return [
            f"the injections explain {self.driven:.2f} of the swings: what moves them is not measured, and "
            "their damping may be told too high, by half and more"
        ]

    def between(self, confidence: float) -> tuple[float, float]:
        """Give the interval of the least damping ratio: the least of all lower and of all upper ends."""
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(_ratio(self.drawn), [tail, 1.0 - tail], axis=0).min(axis=1).tolist()
        return low, high


@dataclass(frozen=True, eq=False)
class _System:
    """x' = A x + B u + K e, y = C x + D u + e, with states and innovations as they were."""

    a: Floats
    b: Floats
    c: Floats
    d: Floats
    k: Floats
    states: Floats
    innovations: Floats

    def poles(self, step_s: float) -> Complexes:
        """Give the swings, 1/s."""
        value = np.linalg.eigvals(self.a)
        # What turns by more than a right angle a sample is not resolved.
        kept = value[(value.imag > 0) & (value.real > 0)].astype(np.complex128)
        return np.asarray(np.log(kept) / step_s, np.complex128)

    def shares(self) -> Floats:
        """Give how much each swing moved the outputs against each other: its part of their mean square."""
        value, vector = np.linalg.eig(self.a)
        kept = (value.imag > 0) & (value.real > 0)
        moved = (np.abs(self.states @ np.linalg.inv(vector)[kept].T) ** 2).mean(axis=0)
        shape = (self.c @ vector)[:, kept]
        return np.asarray((np.abs(shape - shape.mean(axis=0)) ** 2).sum(axis=0) * moved, np.float64)

    def driven(self, outputs: Floats, inputs: Floats) -> float:
        """Give the share of the outputs' motion against each other that the inputs explain."""
        state, out = np.zeros(len(self.a)), np.empty_like(outputs)
        for at, given in enumerate(inputs):
            out[at] = self.c @ state + self.d @ given
            state = self.a @ state + self.b @ given
        apart, rest = (part - part.mean(axis=1, keepdims=True) for part in (outputs, outputs - out))
        return max(0.0, 1.0 - float((rest**2).sum() / max(float((apart**2).sum()), 1e-300)))

    def play(self, inputs: Floats, rng: np.random.Generator) -> Floats:
        """Draw copies of the outputs, shape (copies, samples, outputs)."""
        drawn = rng.integers(0, len(self.innovations), (COPIES, len(inputs)))
        state = np.zeros((COPIES, len(self.a)))
        out = np.empty((COPIES, len(inputs), len(self.c)))
        with np.errstate(over="ignore", invalid="ignore"):
            for at, given in enumerate(inputs):
                new = self.innovations[drawn[:, at]]
                out[:, at] = state @ self.c.T + self.d @ given + new
                state = state @ self.a.T + self.b @ given + new @ self.k.T
        return out


def measured_swings(step_s: float, speed: Floats, power: Floats, count: int) -> Swings | None:
    """Measure the swings of machines; None where the record does not tell all of them.

    Args:
        step_s: between samples.
        speed: of each machine, shape (samples, machines).
        power: of each bus, shape (samples, buses).
        count: how many swings there are.
    """
    thinned = _thinning(step_s, speed)
    step_s *= thinned
    outputs, inputs = (_thin(part, thinned) for part in (speed, power))
    inputs = inputs[:, np.ptp(inputs, axis=0) > 0]
    lags = _lags(outputs, inputs)
    order = STATES * outputs.shape[1]
    if count < 1 or lags * outputs.shape[1] < order:
        return None
    found = _identified(outputs, inputs, lags, order)
    poles = found.poles(step_s)
    if len(poles) < count:
        return None
    poles = poles[np.argsort(-found.shares(), kind="stable")[:count]]
    is_short = poles.imag.min() * len(outputs) * step_s < FEWEST * 2.0 * np.pi
    if is_short or _ratio(poles).max() > DAMPED:
        return None
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([len(speed), PURPOSE])))
    drawn = []
    for copy in found.play(inputs, rng):
        if not np.isfinite(copy).all():
            return None
        again = _identified(copy - copy.mean(axis=0), inputs, lags, order).poles(step_s)
        if len(again) >= count:
            _, place = linear_sum_assignment(np.abs(poles[:, None] - again[None]))
            drawn.append(again[place])
    if len(drawn) < COPIES // 2:
        return None
    # The copies' mean lies as far from the estimate as the estimate from the truth, on the same side.
    shift = np.median(np.array(drawn), axis=0) - poles
    return Swings(poles - shift, np.array(drawn) - 2.0 * shift, found.driven(outputs, inputs))


def _thinning(step_s: float, speed: Floats) -> int:
    """Tell how many samples there are for one that is needed."""
    from scipy.signal import welch  # half a second to load, which other questions need not wait for

    apart = speed - speed.mean(axis=1, keepdims=True) if speed.shape[1] > 1 else speed
    frequency, density = welch(apart, 1.0 / step_s, nperseg=min(len(speed), 1024), axis=0)
    total = density.sum(axis=1)
    total = np.maximum(total - np.median(total[3 * len(total) // 4 :]), 0.0)  # less the meters' noise
    if not total.sum() > 0.0:
        return 1
    fastest = float(frequency[np.searchsorted(np.cumsum(total), BANDWIDTH * total.sum())])
    return max(int(1.0 / (step_s * FINE * fastest)), 1) if fastest > 0.0 else 1


def _thin(values: Floats, by: int) -> Floats:
    from scipy.signal import decimate

    centred = values - values.mean(axis=0)
    return np.asarray(decimate(centred, by, ftype="fir", axis=0) if by > 1 else centred, np.float64)


def _lags(outputs: Floats, inputs: Floats) -> int:
    """Choose how far the regression looks back, by Akaike's criterion."""
    each = outputs.shape[1] + inputs.shape[1]
    most = int(len(outputs) / (SPARE * each))
    best, chosen = math.inf, 0
    for lags in range(2, most // FURTHER + 1, max(most // (12 * FURTHER), 1)):
        past, now, _ = _regressors(outputs, inputs, lags, first=most)
        wrong = now - past @ np.linalg.lstsq(past, now, rcond=None)[0]
        _, size = np.linalg.slogdet(wrong.T @ wrong / len(wrong))
        score = len(wrong) * float(size) + 2.0 * past.shape[1] * outputs.shape[1]
        if score < best:
            best, chosen = score, lags
    return FURTHER * chosen


def _regressors(
    outputs: Floats, inputs: Floats, lags: int, first: int | None = None
) -> tuple[Floats, Floats, Floats]:
    """Give the past (the last sample first) with the inputs now, the outputs now, and the inputs now."""
    start, both = first if first is not None else lags, np.hstack([inputs, outputs])
    past = [both[start - back : len(both) - back] for back in range(1, lags + 1)]
    return np.hstack([*past, inputs[start:]]), outputs[start:], inputs[start:]


def _identified(outputs: Floats, inputs: Floats, lags: int, order: int) -> _System:
    """Find the system by predictor-based subspace identification (PBSID)."""
    past, now, given = _regressors(outputs, inputs, lags)
    wide, m = outputs.shape[1] + inputs.shape[1], outputs.shape[1]
    response = np.linalg.lstsq(past, now, rcond=None)[0][: lags * wide].T
    history = past[:, : lags * wide]
    # Row i: what the past still adds i samples on, once everything since is known.
    ahead = np.zeros((lags * m, lags * wide))
    for i in range(lags):
        ahead[i * m : (i + 1) * m, : (lags - i) * wide] = response[:, i * wide :]
    _, size, right = np.linalg.svd(ahead @ history.T, full_matrices=False)
    state = (right[:order] * np.sqrt(size[:order, None])).T
    c, d = _split(np.linalg.lstsq(np.hstack([state, given]), now, rcond=None)[0].T, order)
    innovations = now - state @ c.T - given @ d.T
    known = np.hstack([state, given, innovations])[:-1]
    a, rest = _split(np.linalg.lstsq(known, state[1:], rcond=None)[0].T, order)
    b, k = _split(rest, inputs.shape[1])
    return _System(a, b, c, d, k, state, innovations - innovations.mean(axis=0))


def _split(matrix: Floats, at: int) -> tuple[Floats, Floats]:
    return matrix[:, :at], matrix[:, at:]


def _ratio(poles: NDArray[np.complex128]) -> Floats:
    return np.asarray(-poles.real / np.abs(poles), np.float64)
