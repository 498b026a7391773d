"""Identify a swing model from telemetry: inertia, damping and stiffness by least squares, with intervals.

Theory of operation. The model, discretised exactly (the injections run linearly between samples), predicts
each sample from the one before; inertia, damping, stiffnesses and a constant offset a bus are fitted to the
prediction errors of speeds (machines) and angles (loads): close to maximum likelihood where what is not
measured is a white disturbance of power. Noise of meters and disturbances that last bias the estimate and
make successive errors correlate, which is tested: then the swings are measured without this model
(`subspace`). What no injection has excited cannot be told: then the Jacobian is singular.

References:
    Ljung (1999), System Identification, 2nd ed., 7.2 and 9.4 (prediction errors, covariance).
    Van Loan (1978), Computing integrals involving the matrix exponential, IEEE Trans. AC-23.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm
from scipy.optimize import least_squares
from scipy.special import stdtrit

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_array, as_number, as_numbers, checked_names
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.settings import check_share
from ripstop.risk.subspace import Swings, measured_swings
from ripstop.risk.swing import Floats, Ints, SwingModel, assemble, line_ends, swing_model

UNEVEN = 0.01  # of the step; more jitter than that is a gap
SINGULAR = 1e-7  # smallest singular value of the Jacobian with columns of length one
FAR = 1e9  # rad, rad / s; a prediction error is no larger
FEWEST = 5  # samples for each unknown of a bus
FASTEST = 20.0  # per step; beyond it nothing is left to see, and squares must stay finite
BELIEVED = 0.1  # correlation of errors up to which intervals hold; at .18 and .23 they missed ANDES's damping
LARGEST = 50.0  # bounds an exponent, so that a step of the search cannot overflow


@dataclass(frozen=True, eq=False)
class Telemetry:
    """What was measured, evenly sampled.

    Attributes:
        t_s: times, s, shape (samples,).
        power: what each bus feeds in, p.u., shape (samples, buses).
        frequency_hz, angle_rad: shape (samples, buses), one of them at least. Angles left out are integrated
            from the frequencies, frequencies differentiated from the angles.
        buses: their names; 0, 1, ... by default.
    """

    t_s: ArrayLike
    power: ArrayLike
    frequency_hz: ArrayLike | None = None
    angle_rad: ArrayLike | None = None
    buses: Iterable[Hashable] | None = None


@dataclass(frozen=True, eq=False)
class Identified:
    """A model as identified, and how sure it is.

    Attributes:
        model: the estimate, at the mean of the telemetry.
        low, high: the same quantities at the ends of their intervals: `inertia` and `damping` by bus and
            `synchronising` (b cos δ, p.u. / rad) by line.
        synchronising: the estimate by line.
        confidence: of each interval.
        correlation: of successive prediction errors; away from 0 they are not white.
        notes: what limits the result.
        explained: how much better a model of the earlier samples predicts those that were held out, one step
            ahead, than their mean or the last sample does: 1 less the ratio of the squared errors, of the bus
            that is predicted worst. NaN where nothing was held out.
        swings: measured without the model where its errors correlate, and the record is long enough; None
            where the model's own count.
    """

    model: SwingModel
    synchronising: Floats
    low: dict[str, Floats]
    high: dict[str, Floats]
    confidence: float
    correlation: float
    notes: tuple[str, ...]
    _fit: _Fit
    explained: float = math.nan
    swings: Swings | None = None

    @property
    def is_believable(self) -> bool:
        """Whether what the model itself says of damping can be believed."""
        return self.swings is None and abs(self.correlation) <= max(BELIEVED, _by_chance(self._fit.errors))

    def draw(self, count: int, *, rng: np.random.Generator) -> list[SwingModel | None]:
        """Draw models from the estimate's distribution; None where a draw has no operating point."""
        fit = self._fit
        drawn = fit.estimate + rng.standard_normal((count, fit.root.shape[1])) @ fit.root.T
        return [fit.problem.model(one, self.model) for one in drawn]


@dataclass(frozen=True, eq=False)
class _Fit:
    problem: _Problem
    estimate: Floats
    root: Floats  # of the covariance: root @ root.T
    errors: Floats


@dataclass(frozen=True, eq=False)
class _Problem:
    """The telemetry as states and inputs, and how a vector of unknowns is read.

    Unknowns: log M of machines, D of machines, log D of loads, stiffnesses, offsets.
    """

    step_s: float
    angle: Floats
    speed: Floats
    power: Floats
    ends: Ints
    machine: NDArray[np.bool_]
    has_angles: bool
    buses: tuple[Hashable, ...]

    @property
    def sizes(self) -> tuple[int, int, int]:
        return len(self.machine), int(self.machine.sum()), len(self.ends)

    def read(self, unknown: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        n, m, lines = self.sizes
        mass, drag, load, k, offset = np.split(unknown, np.cumsum([m, m, n - m, lines]))
        inertia, damping = np.zeros(n), np.zeros(n)
        inertia[self.machine] = np.exp(np.clip(mass, -LARGEST, LARGEST))
        damping[self.machine] = drag
        damping[~self.machine] = np.exp(np.clip(load, -LARGEST, LARGEST))
        return inertia, damping, k, offset

    def names(self) -> list[str]:
        bus, heavy, light = self.buses, np.flatnonzero(self.machine), np.flatnonzero(~self.machine)
        return [
            *(f"inertia of bus {bus[i]}" for i in heavy),
            *(f"damping of bus {bus[i]}" for i in (*heavy, *light)),
            *(f"stiffness of line {bus[i]}-{bus[j]}" for i, j in self.ends),
            *(f"offset of bus {name}" for name in bus),
        ]

    def between(self, first: int, last: int) -> _Problem:
        """Give the samples from the first up to, but without, the last."""
        part = slice(first, last)
        return replace(self, angle=self.angle[part], speed=self.speed[part], power=self.power[part])

    def explained(self, unknown: Floats) -> float:
        """Give how much better the model predicts the worst bus than its mean or its last sample would."""
        seen = np.where(self.machine, self.speed, self.angle)
        plain = np.minimum(
            ((seen - seen.mean(axis=0)) ** 2).sum(axis=0), (np.diff(seen, axis=0) ** 2).sum(axis=0)
        )
        wrong = (self.errors(unknown) ** 2).sum(axis=0)
        return float(1.0 - np.divide(wrong, plain, out=np.full_like(wrong, np.inf), where=plain > 0).max())

    def errors(self, unknown: Floats) -> Floats:
        """Give the prediction errors, (samples - 1, buses): of a machine's speed, of a load's angle."""
        inertia, damping, k, offset = self.read(unknown)
        n, m, _ = self.sizes
        size = n + m
        incidence = _incidence(self.ends, n)
        system = assemble((incidence * k) @ incidence.T, inertia, damping)
        feed = np.zeros((size, n))
        feed[n + np.arange(m), np.flatnonzero(self.machine)] = 1.0 / inertia[self.machine]
        light = np.flatnonzero(~self.machine)
        feed[light, light] = 1.0 / damping[light]
        block = np.zeros((size + 2 * n, size + 2 * n))
        block[:size, :size], block[:size, size : size + n] = system, feed
        block[size : size + n, size + n :] = np.eye(n) / self.step_s
        moved = expm(np.clip(block * self.step_s, -FASTEST, FASTEST))
        state = np.hstack([self.angle, self.speed[:, self.machine]])
        held = self.power + offset
        ahead = (
            state[:-1] @ moved[:size, :size].T
            + held[:-1] @ moved[:size, size : size + n].T
            + np.diff(held, axis=0) @ moved[:size, size + n :].T
        )
        wrong = state[1:] - ahead
        shown = np.where(self.machine, n + np.cumsum(self.machine) - 1, np.arange(n))
        return np.asarray(np.clip(wrong[:, shown], -FAR, FAR), np.float64)

    def guess(self) -> Floats:
        """Solve M ω' + D ω + Σ k δ_ij - c = P by least squares on differences: biased, but near."""
        n, _, lines = self.sizes
        middle = [(a[1:] + a[:-1]) / 2.0 for a in (self.angle, self.speed, self.power)]
        rate = np.diff(self.speed, axis=0) / self.step_s
        across = middle[0] @ _incidence(self.ends, n)
        blocks, goal = [], []
        for i in range(n):
            part = np.zeros((len(rate), 3 * n + lines))
            if self.machine[i]:
                part[:, i] = rate[:, i]
            part[:, n + i] = middle[1][:, i]
            part[:, 2 * n : 2 * n + lines] = across * _incidence(self.ends, n)[i]
            part[:, 2 * n + lines + i] = -1.0
            blocks.append(part)
            goal.append(middle[2][:, i])
        found = np.linalg.lstsq(np.vstack(blocks), np.concatenate(goal), rcond=None)[0]
        mass, drag, rest = found[:n], found[n : 2 * n], found[2 * n :]
        light = np.log(np.maximum(drag[~self.machine], 1e-3))
        return np.concatenate([np.log(np.maximum(mass, 1e-3))[self.machine], drag[self.machine], light, rest])

    def model(self, unknown: Floats, like: SwingModel | None = None) -> SwingModel | None:
        """Build the model at the mean of the telemetry; None if it has no operating point."""
        inertia, damping, k, _ = self.read(unknown)
        stiff = np.maximum(k, 0.0)
        plain = swing_model(self.ends, stiff, inertia, damping, self.power.mean(axis=0))
        try:
            at = self.angle.mean(axis=0) if self.has_angles else plain.solve_tangents(plain.balanced_power())
        except RiskInputError:  # off balance, and nothing in the island is damped
            return None
        if at is None or ((across := np.cos(at[plain.source] - at[plain.target])) <= 0).any():
            return None
        strong = replace(plain, stiffness=stiff / across, buses=self.buses).at(at)
        return replace(strong, reserve=like.reserve) if like is not None else strong


@takes(telemetry=Kind("telemetry", Telemetry))
def identify(
    telemetry: Telemetry,
    ends: ArrayLike | None = None,
    *,
    machines: ArrayLike | None = None,
    reserve: ArrayLike | None = None,
    confidence: float = 0.95,
    held_out: float = 0.0,
) -> Identified:
    """Identify inertia, damping and stiffness by least squares on prediction errors.

    Cost: some tens of matrix exponentials of four times the buses, for each unknown.

    Args:
        telemetry: evenly sampled, without gaps, ten samples or more in the fastest swing.
        ends: shape (lines, 2), which buses may be joined; by default all pairs.
        machines: by bus, whether it has inertia; by default all have. The others must follow frequency.
        reserve: by bus, p.u., passed on to the model.
        confidence: of each interval, in (0, 1).
        held_out: share of the samples, the last ones, in [0, 0.5], that a first fit does without, to tell
            `explained`; the model itself is fitted to all of them.

    Raises:
        RiskInputError: C0715 for the confidence or the share, C0742 for lines or machines, C0743 for
            telemetry that is no even series of finite numbers, C0744 if the data cannot identify the model.
    """
    confidence = check_share("confidence", confidence, "C0715", ends=False)
    if not 0.0 <= as_number(held_out) <= 0.5:
        raise RiskInputError(f"`held_out` is {held_out}, expected a share in [0, 0.5]", code="C0715")
    problem = _problem(telemetry, ends, machines)
    if reserve is not None:  # refused before the fit
        n, _, lines = problem.sizes
        swing_model(problem.ends, np.ones(lines), np.ones(n), np.ones(n), np.zeros(n), reserve)
    explained, start = math.nan, None
    if held_out:
        samples = len(problem.power)
        kept = round(samples * (1.0 - held_out))
        start = _fitted(problem.between(0, kept)).estimate
        explained = problem.between(kept - 1, samples).explained(start)
    fit = _fitted(problem, start)
    model = problem.model(fit.estimate)
    if model is None:
        raise RiskInputError(
            "the model as fitted has no operating point", code="C0744", hint="give angles, or fewer lines"
        )
    if reserve is not None:
        model = replace(model, reserve=as_numbers(reserve))
    spread = float(stdtrit(fit.errors.size - len(fit.estimate), (1.0 + confidence) / 2.0))
    half = spread * np.sqrt((fit.root**2).sum(axis=1))
    names = ("inertia", "damping", "synchronising")
    low, high = (
        dict(zip(names, problem.read(fit.estimate + side * half)[:3], strict=True)) for side in (-1.0, 1.0)
    )
    correlation = _correlation(fit.errors)
    is_doubtful = abs(correlation) > _by_chance(fit.errors)
    swings = _swings(problem, model) if is_doubtful else None
    notes = _notes(problem, fit, half, correlation if is_doubtful else 0.0, swings)
    k = problem.read(fit.estimate)[2]
    return Identified(model, k, low, high, confidence, correlation, notes, fit, explained, swings)


def _swings(problem: _Problem, model: SwingModel) -> Swings | None:
    heavy = problem.machine
    angle = problem.angle[:, heavy] if problem.has_angles else None
    speed, islands = problem.speed[:, heavy], model.islands[heavy]
    return measured_swings(problem.step_s, speed, problem.power, islands, angle)


def _problem(telemetry: Telemetry, ends: ArrayLike | None, machines: ArrayLike | None) -> _Problem:
    time = as_numbers(telemetry.t_s).reshape(-1)
    power = _series("power", telemetry.power, len(time))
    n = power.shape[1]
    step = np.diff(time)
    if time.ndim != 1 or len(time) < 3 or not np.isfinite(time).all() or (step <= 0).any():
        raise RiskInputError("`t_s` are no three or more times that rise", code="C0743")
    usual = float(np.median(step))
    uneven = np.flatnonzero(np.abs(step - usual) > UNEVEN * usual)
    if len(uneven):
        raise RiskInputError(
            f"after {time[uneven[0]]:g} s comes a step of {step[uneven[0]]:g} s, expected {usual:g} s",
            code="C0743", hint="identify on the longest stretch without gaps, or resample",
        )  # fmt: skip
    if telemetry.frequency_hz is None and telemetry.angle_rad is None:
        raise RiskInputError("expected frequencies or angles, got neither", code="C0743")
    if telemetry.frequency_hz is not None:
        speed = 2.0 * np.pi * _series("frequency_hz", telemetry.frequency_hz, len(time), n)
        speed = speed - speed.mean()  # the nominal frequency; the offsets take the rest
    if telemetry.angle_rad is not None:
        angle = np.unwrap(_series("angle_rad", telemetry.angle_rad, len(time), n), axis=0)
    else:
        angle = np.zeros_like(speed)
        np.cumsum((speed[1:] + speed[:-1]) * usual / 2.0, axis=0, out=angle[1:])
    if telemetry.frequency_hz is None:
        speed = np.gradient(angle, usual, axis=0)
    heavy = np.ones(n, np.bool_) if machines is None else as_array(machines)
    if heavy.shape != (n,) or heavy.dtype != np.bool_:
        raise RiskInputError(f"`machines` are not {n} truths", code="C0742")
    pairs = line_ends(list(combinations(range(n), 2)) if ends is None else ends, n)
    named = checked_names(range(n) if telemetry.buses is None else telemetry.buses)
    if len(named) != n:
        raise RiskInputError(f"{len(named)} names for {n} buses", code="C0742")
    return _Problem(usual, angle, speed, power, pairs, heavy, telemetry.angle_rad is not None, named)


def _fitted(problem: _Problem, start: Floats | None = None) -> _Fit:
    n, _, lines = problem.sizes
    unknowns = 3 * n + lines - int((~problem.machine).sum())
    if len(problem.power) * n < FEWEST * unknowns:
        raise RiskInputError(
            f"{len(problem.power)} samples of {n} buses are too few for {unknowns} unknowns",
            code="C0744", hint=f"give {FEWEST * unknowns // n + 1} samples or more",
        )  # fmt: skip
    if not np.ptp(problem.speed, axis=0).any() and not np.ptp(problem.power, axis=0).any():
        raise RiskInputError(
            "the telemetry is constant, so it cannot identify the model",
            code="C0744",
            hint="take a stretch with changes of load",
        )
    if start is None:
        start = problem.guess()
    scale = _spread(problem.errors(start))
    found = start
    for _ in range(2):  # the second time with each bus weighed by how well it is predicted

        def weighed(unknown: Floats, scale: Floats = scale) -> Floats:
            return (problem.errors(unknown) / scale).ravel()

        found = least_squares(weighed, found, x_scale="jac", xtol=1e-12, ftol=1e-12, gtol=1e-12).x
        scale = _spread(problem.errors(found))
    errors = problem.errors(found)
    jacobian = _derivative(lambda unknown: (problem.errors(unknown) / scale).ravel(), found)
    return _Fit(problem, found, _root(problem, jacobian, errors / scale), errors)


def _root(problem: _Problem, jacobian: Floats, errors: Floats) -> Floats:
    length = np.sqrt((jacobian**2).sum(axis=0))
    unseen = np.flatnonzero(length <= SINGULAR * length.max(initial=0.0))
    _, size, turn = np.linalg.svd(jacobian / np.where(length > 0, length, 1.0), full_matrices=False)
    if len(unseen) or size[-1] < SINGULAR * size[0] or not np.isfinite(size).all():
        which = int(unseen[0]) if len(unseen) else int(np.abs(turn[-1]).argmax())
        raise RiskInputError(
            f"the data cannot identify the {problem.names()[which]}",
            code="C0744",
            hint="every bus's injection must have changed, independently of the others",
        )
    variance = float((errors**2).sum()) / (errors.size - jacobian.shape[1])
    return np.asarray(np.sqrt(variance) * (turn.T / size) / length[:, None])


def _by_chance(errors: Floats) -> float:
    """Give what white errors correlate by at most: four deviations (Bartlett)."""
    return 4.0 / math.sqrt(len(errors))


def _correlation(errors: Floats) -> float:
    """Give the correlation of successive errors, of the bus where it is farthest from 0."""
    errors = errors - errors.mean(axis=0)
    products, squares = (errors[1:] * errors[:-1]).sum(axis=0), (errors**2).sum(axis=0)
    each = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
    return float(each[np.abs(each).argmax()])


def _notes(
    problem: _Problem, fit: _Fit, half: Floats, correlation: float, swings: Swings | None
) -> tuple[str, ...]:
    """Say what errors that correlate mean, and which intervals are wide."""
    notes = []
    if correlation:
        rest = "its intervals are too narrow"
        if swings is not None:
            rest += "; the swings and their damping are measured without it"
        elif abs(correlation) > BELIEVED:
            rest += "; the damping is not known: the record is too short or too noisy to measure it"
        notes.append(
            f"successive errors of the model correlate by {correlation:.2f}: the meters are noisy, or loads "
            f"that nobody measures change, and {rest}"
        )
    _, m, lines = problem.sizes
    named = problem.names()
    n = len(problem.machine)
    value = np.concatenate([np.ones(m), fit.estimate[m : 2 * m], np.ones(n - m), fit.estimate[m + n :]])
    wide = [named[i] for i in range(m + n + lines) if half[i] > abs(value[i])]
    if wide:
        notes.append(f"hardly identified: {', '.join(wide)}")
    return tuple(notes)


def _derivative(of: Callable[[Floats], Floats], at: Floats) -> Floats:
    """Differentiate by central differences, steps of the cube root of the rounding."""
    columns = []
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 6e-6 * max(abs(at[i]), 1e-2)
        columns.append((of(at + step) - of(at - step)) / (2.0 * step[i]))
    return np.stack(columns, axis=1)


def _spread(errors: Floats) -> Floats:
    size = np.sqrt((errors**2).mean(axis=0))
    return np.asarray(np.maximum(size, max(1e-9 * float(size.max()), 1e-15)), np.float64)


def _incidence(ends: Ints, n: int) -> Floats:
    matrix = np.zeros((n, len(ends)))
    matrix[ends[:, 0], np.arange(len(ends))] = 1.0
    matrix[ends[:, 1], np.arange(len(ends))] = -1.0
    return matrix


def _series(name: str, values: ArrayLike, samples: int, buses: int | None = None) -> Floats:
    array = as_numbers(values)
    if array.ndim != 2 or array.shape[0] != samples or array.shape[1] != (buses or array.shape[1]):
        raise RiskInputError(
            f"`{name}` has shape {array.shape}, expected {samples} samples by {buses or 'the'} buses",
            code="C0743",
        )
    if array.shape[1] == 0 or not np.isfinite(array).all():
        raise RiskInputError(
            f"`{name}` are not all finite numbers",
            code="C0743",
            hint="identify on a stretch where nothing is missing",
        )
    return array
