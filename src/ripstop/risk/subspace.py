"""Swings measured without a model of their cause: subspace identification from speeds and injections.

Theory of operation. What swings is how machines of an island move against each other; what all of them do
together is slow, large and left out. A long regression of that on its past and on the injections (VARX) holds
the poles of the network whatever drives it: loads that nobody measures only add states. Its impulse
responses, applied to the past, span the states; a singular value decomposition, weighed by the innovations,
finds them, and two regressions give A, B, C, D and the innovations' gain K. A network of m machines has m - 1
swings: of all poles those that move the machines most against each other. How sure they are, and how biased,
is told by copies of the record, drawn from the fitted model with its own innovations and meters as noisy,
that go the same way, choice of the order included. The deviation of a measured damping ratio goes as its
root, so that roots are compared: of a small ratio's copies those below it lie closer than those above.

References:
    Chiuso (2007), The role of vector autoregressive modeling in predictor-based subspace identification,
    Automatica 43.
    Bauer (2005), Asymptotic properties of subspace estimators, Automatica 41.
    Efron, Tibshirani (1993), An Introduction to the Bootstrap, 10.3 and 13.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri

from ripstop.risk.meters import expected, fused, thinned, thinning
from ripstop.risk.swing import Complexes, Floats

COPIES = 60
PURPOSE = 0x73756273  # "subs": keys these draws apart from other uses of a seed
STATES = (4, 8)  # for each swing, at least and at most: two of its own, and as many of what drives it
FEWEST = 40.0  # periods of each swing in a record; from fewer its damping is told too well
DAMPED = (
    0.35  # ratio; what is damped more hardly swings: a governor's or a load's state was taken for a swing
)
SPARE = 4.0  # samples for each number that is regressed
FURTHER = 2  # times as far as Akaike's criterion asks the regression looks back (Bauer)


@dataclass(frozen=True, eq=False)
class Swings:
    """The swings that were measured.

    Attributes:
        found: 1/s, with the imaginary part above 0, as the record has them, shape (swings,).
        drawn: what copies of the record gave, shape (copies, swings).
    """

    found: Complexes
    drawn: Complexes

    @property
    def poles(self) -> Complexes:
        """What was found less its bias: the copies lie as far from it as it lies from the truth."""
        middle = np.median(self.drawn.real, axis=0) + 1j * np.median(self.drawn.imag, axis=0)
        speed, ratio = np.abs(2.0 * self.found - middle), np.clip(self._ratios, -1.0, 1.0)
        return np.asarray(speed * (-ratio + 1j * np.sqrt(1.0 - ratio**2)), np.complex128)

    @property
    def _ratios(self) -> Floats:
        return _squared(2.0 * _root(self.found) - np.median(_root(self.drawn), axis=0))

    @property
    def eigenvalues(self) -> Complexes:
        """The poles and their mirror images, the one that decays least first."""
        both = np.concatenate([self.poles, self.poles.conj()])
        return both[np.argsort(-both.real, kind="stable")]

    @property
    def damping(self) -> float:
        """The least damping ratio."""
        return float(_ratio(self.poles).min())

    def between(self, confidence: float) -> tuple[float, float]:
        """Give the interval of the least damping ratio: the least of all lower and of all upper ends."""
        drawn = _root(self.drawn)
        half = float(ndtri((1.0 + confidence) / 2.0)) * drawn.std(axis=0)
        middle = 2.0 * _root(self.found) - np.median(drawn, axis=0)
        low, high = (float(np.clip(_squared(middle + side * half), -1.0, 1.0).min()) for side in (-1.0, 1.0))
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

    def swings(self, step_s: float) -> tuple[Complexes, Floats]:
        """Give the swings, 1/s, and how much each moved the outputs: its part of their mean square."""
        value, vector = np.linalg.eig(self.a)
        # What turns by more than a right angle a sample is not resolved.
        kept = (value.imag > 0) & (value.real > 0)
        moved = (np.abs(self.states @ np.linalg.inv(vector)[kept].T) ** 2).mean(axis=0)
        share = (np.abs((self.c @ vector)[:, kept]) ** 2).sum(axis=0) * moved
        poles = np.log(value[kept].astype(np.complex128)) / step_s
        return np.asarray(poles, np.complex128), np.asarray(share, np.float64)

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


def measured_swings(
    step_s: float, speed: Floats, power: Floats, islands: NDArray[np.int32], angle: Floats | None = None
) -> Swings | None:
    """Measure the swings of machines; None where the record does not tell all of them.

    Args:
        step_s: between samples.
        speed: of each machine, rad / s, shape (samples, machines).
        power: of each bus, shape (samples, buses).
        islands: of each machine, the number.
        angle: of each machine, rad, where it is measured.
    """
    basis = _apart(islands)
    count = basis.shape[1]
    if count == 0:
        return None
    moved = speed @ basis if angle is None else fused(step_s, speed @ basis, angle @ basis)
    by = thinning(step_s, speed @ basis)
    known, noise = expected(power[:, np.ptp(power, axis=0) > 0])
    inputs, unit = _scaled(thinned(known, by))
    outputs = thinned(moved, by)
    outputs /= max(float(outputs.std()), 1e-300)
    step_s *= by
    lags = _lags(outputs, inputs)
    if lags < STATES[0]:
        return None
    found = _identified(outputs, inputs, lags)
    poles, share = found.swings(step_s)
    swinging = _ratio(poles) <= DAMPED
    poles = poles[swinging][np.argsort(-share[swinging], kind="stable")[:count]]
    if len(poles) < count or poles.imag.min() * len(outputs) * step_s < FEWEST * 2.0 * np.pi:
        return None
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([len(speed), PURPOSE])))
    drawn = []
    for copy in found.play(inputs, rng):
        if not np.isfinite(copy).all():
            return None
        seen = expected(known + noise * rng.standard_normal(known.shape))[0]
        again = _identified(copy - copy.mean(axis=0), thinned(seen, by) / unit, lags).swings(step_s)[0]
        if len(again) >= count:
            _, place = linear_sum_assignment(np.abs(poles[:, None] - again[None]))
            drawn.append(again[place])
    return Swings(poles, np.array(drawn)) if len(drawn) >= COPIES // 2 else None


def _apart(islands: NDArray[np.int32]) -> Floats:
    """Give an orthonormal basis of how the machines of each island move against each other."""
    member = (islands[:, None] == np.unique(islands)).astype(np.float64)
    together = member / np.sqrt(member.sum(axis=0))
    left = np.linalg.svd(np.eye(len(islands)) - together @ together.T)[0]
    return np.asarray(left[:, : len(islands) - member.shape[1]], np.float64)


def _scaled(values: Floats) -> tuple[Floats, Floats]:
    unit = np.maximum(values.std(axis=0), 1e-300)
    return values / unit, unit


def _lags(outputs: Floats, inputs: Floats) -> int:
    """Choose how far the regression looks back, by Akaike's criterion."""
    each = outputs.shape[1] + inputs.shape[1]
    most = int(len(outputs) / (SPARE * each))
    best, chosen = math.inf, 0
    for lags in range(2, most // FURTHER + 1, max(most // (12 * FURTHER), 1)):
        triangle = _triangle(outputs, inputs, lags, first=most)[0]
        known, samples = len(triangle) - outputs.shape[1], len(outputs) - most
        score = samples * _size(triangle[known:, known:], samples) + 2.0 * known * outputs.shape[1]
        if score < best:
            best, chosen = score, lags
    return FURTHER * chosen


def _triangle(outputs: Floats, inputs: Floats, lags: int, first: int | None = None) -> tuple[Floats, Floats]:
    """Give R of the past (the last sample first), the inputs now and the outputs now; and the past."""
    start, both = first if first is not None else lags, np.hstack([inputs, outputs])
    past = np.hstack([both[start - back : len(both) - back] for back in range(1, lags + 1)])
    return _below(np.hstack([past, inputs[start:], outputs[start:]])), past


def _below(columns: Floats) -> Floats:
    """Give the R of QR."""
    return np.asarray(np.linalg.qr(columns, mode="r"), np.float64)


def _size(errors: Floats, samples: int) -> float:
    """Give the logarithm of the determinant of the errors' covariance."""
    return float(np.linalg.slogdet(errors.T @ errors / samples)[1])


def _identified(outputs: Floats, inputs: Floats, lags: int) -> _System:
    """Find the system by predictor-based subspace identification (PBSID), its order by Akaike's criterion."""
    triangle, past = _triangle(outputs, inputs, lags)
    now, given, wide, m = outputs[lags:], inputs[lags:], outputs.shape[1] + inputs.shape[1], outputs.shape[1]
    known, history = len(triangle) - m, lags * wide
    response = np.linalg.lstsq(triangle[:known, :known], triangle[:known, known:], rcond=None)[0]
    rest = triangle[known:, known:]
    weight = np.linalg.pinv(_below(rest) / np.sqrt(len(past)))
    response = (response[:history] @ weight).T
    # Row i: what the past still adds i samples on, once everything since is known.
    ahead = np.zeros((lags * m, history))
    for i in range(lags):
        ahead[i * m : (i + 1) * m, : (lags - i) * wide] = response[:, i * wide :]
    left, size, _ = np.linalg.svd(ahead @ triangle[:history, :history].T, full_matrices=False)
    most = min(STATES[1] * m, int((size > size[0] * 1e-12).sum()))
    state = past @ (ahead.T @ (left[:, :most] / np.sqrt(size[:most])))
    order = _order(state, given, now)
    state = state[:, :order]
    c, d = _split(np.linalg.lstsq(np.hstack([state, given]), now, rcond=None)[0].T, order)
    innovations = now - state @ c.T - given @ d.T
    moved = np.hstack([state, given, innovations])[:-1]
    a, rest = _split(np.linalg.lstsq(moved, state[1:], rcond=None)[0].T, order)
    b, k = _split(rest, inputs.shape[1])
    return _System(a, b, c, d, k, state, innovations - innovations.mean(axis=0))


def _order(state: Floats, given: Floats, now: Floats) -> int:
    """Choose how many of the states count, by Akaike's criterion."""
    most, m, known = state.shape[1], now.shape[1], given.shape[1]
    best, chosen = math.inf, int(most)
    # What is left after the inputs and the first so many states is in the triangle below them.
    triangle = _below(np.hstack([given, state, now]))[:, known + most :]
    for order in range(min(STATES[0] * m, most), most + 1):
        score = len(now) * _size(triangle[known + order :], len(now)) + 2.0 * order * (2 * m + known)
        if score < best:
            best, chosen = score, order
    return chosen


def _split(matrix: Floats, at: int) -> tuple[Floats, Floats]:
    return matrix[:, :at], matrix[:, at:]


def _ratio(poles: NDArray[np.complex128]) -> Floats:
    return np.asarray(-poles.real / np.abs(poles), np.float64)


def _root(poles: NDArray[np.complex128]) -> Floats:
    """Give the roots of damping ratios, with their signs."""
    ratio = _ratio(poles)
    return np.asarray(np.sign(ratio) * np.sqrt(np.abs(ratio)), np.float64)


def _squared(root: Floats) -> Floats:
    return np.asarray(np.sign(root) * root**2, np.float64)
