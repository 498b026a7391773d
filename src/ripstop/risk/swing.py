"""Swing dynamics of a network that must balance supply and demand: operating point, state matrix, modes.

Theory of operation. M δ'' + D δ' + Σ_j b_ij sin(δ_i - δ_j) = P_i at every bus. A bus with inertia is a
machine; one without, but with damping, is a load that follows frequency (first order); one with neither only
ties others together and is eliminated (Kron). Linearised at the operating point, the sines become the
Laplacian L with weights b cos δ_ij. A turn of all angles of an island together changes nothing: angles are
taken against one bus of each island, so that no eigenvalue is zero for that reason.

References:
    Bergen, Hill (1981), A structure preserving model for power system stability analysis, IEEE PAS-100.
    Kundur (1994), Power System Stability and Control, 12.2 and 12.3.
    Dörfler, Bullo (2013), Kron reduction of graphs with applications to electrical networks, IEEE TCAS-I 60.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_array, as_numbers, checked_names, frozen

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Complexes = NDArray[np.complex128]

ROUNDING = 1e-9  # of the largest power; what injections may miss their balance by
CONVERGED = 1e-11  # of the largest stiffness; the mismatch at which a power flow is solved
STEPS = 60  # Newton's, each halved at most 30 times


@dataclass(frozen=True, eq=False)
class SwingModel:
    """A network of machines and loads at one operating point. Build it with `swing_model`.

    Attributes:
        buses: names, in the order of every array by bus.
        source, target: positions of each line's ends among the buses.
        stiffness: most power that a line can carry, V V / X, p.u., by line.
        inertia: M = 2 H / ω0, p.u. s² / rad, by bus; 0 at a load.
        damping: D, p.u. s / rad, by bus; below 0 a machine feeds oscillations.
        power: P, what is fed in, p.u., by bus; below 0 at a load.
        reserve: how much more each bus can feed in, p.u.; infinite where it is not known.
        angles: rad by bus, where the operating point is given; otherwise it is solved for.
    """

    buses: tuple[Hashable, ...]
    source: Ints
    target: Ints
    stiffness: Floats
    inertia: Floats
    damping: Floats
    power: Floats
    reserve: Floats
    angles: Floats | None = None

    def named(self, buses: Iterable[Hashable]) -> SwingModel:
        """Give the model with names for its buses.

        Raises:
            RiskInputError: C0702 for a name that stands twice, C0742 for a wrong number of them.
        """
        names = checked_names(buses)
        if len(names) != len(self.buses):
            raise RiskInputError(f"{len(names)} names for {len(self.buses)} buses", code="C0742")
        return replace(self, buses=names)

    def at(self, angles: ArrayLike) -> SwingModel:
        """Give the model at these angles, rad by bus, with the injections that hold it there.

        An operating point that is not stable can be looked at so, too.

        Raises:
            RiskInputError: C0742.
        """
        given = _by_bus("angles", angles, len(self.buses))
        return replace(self, angles=frozen(given), power=frozen(self.sent(given)))

    @cached_property
    def islands(self) -> Ints:
        """The number of each bus's island; a line of no stiffness joins nothing."""
        n, on = len(self.buses), self.stiffness > 0
        joined = coo_array((np.ones(int(on.sum())), (self.source[on], self.target[on])), shape=(n, n))
        return np.asarray(connected_components(joined.tocsr(), directed=False)[1], np.int32)

    def balanced_power(self) -> Floats:
        """Give the injections less what the damping takes at the common frequency of each island.

        Raises:
            RiskInputError: C0742, where an island does not balance and nothing in it follows frequency.
        """
        label = self.islands
        excess, droop = np.bincount(label, self.power), np.bincount(label, self.damping)
        off = np.abs(excess) > ROUNDING * max(1.0, float(np.abs(self.power).max(initial=0.0)))
        lost = np.flatnonzero(off & (droop <= 0))
        if len(lost):
            bus = self.buses[int(np.flatnonzero(label == lost[0])[0])]
            raise RiskInputError(
                f"the island of bus `{bus}` is off balance by {excess[lost[0]]:g} p.u. and has no damping",
                code="C0742",
                hint="expected injections that add up to 0 in each island, or damping above 0",
            )
        share = np.divide(excess, droop, out=np.zeros_like(excess), where=droop > 0)
        return np.asarray(self.power - self.damping * share[label], np.float64)

    def operating_point(self) -> Floats | None:
        """Give the angles of the stable operating point, rad by bus; None if there is none.

        Raises:
            RiskInputError: C0742, as `balanced_power`.
        """
        if self.angles is not None:
            return self.angles
        return self.solve(self.balanced_power(), np.zeros(len(self.buses)))

    def solve(self, power: Floats, start: Floats) -> Floats | None:
        """Solve Σ b sin(δ_i - δ_j) = power from `start`, within the stable region; None if it fails."""
        return self._newton(power, start, np.sin, np.cos)

    def solve_tangents(self, power: Floats) -> Floats | None:
        """Solve Σ k tan(δ_i - δ_j) = power, the stiffnesses being k = b cos δ_ij, what small swings show."""
        return self._newton(power, np.zeros(len(self.buses)), np.tan, lambda angle: np.cos(angle) ** -2.0)

    def sent(self, angles: Floats) -> Floats:
        """Give the power that each bus sends into its lines at these angles, p.u."""
        return self._sent(np.sin, angles)

    def laplacian(self, angles: Floats) -> Floats:
        """Give L at an operating point: how the power sent changes with the angles, p.u. / rad."""
        return self._jacobian(self.stiffness * np.cos(angles[self.source] - angles[self.target]))

    def state_matrix(self, angles: Floats) -> Floats:
        """Give A of x' = A x: the angles against one bus of each island, rad, then machines' speeds, rad / s.

        Islands where nothing has inertia or damping have no states.

        Raises:
            RiskInputError: C0742, if buses that are eliminated have no solution (singular).
        """
        label = self.islands
        dynamic = (self.inertia > 0) | (self.damping != 0)
        alive = np.isin(label, label[dynamic])
        keep, gone = np.flatnonzero(dynamic), np.flatnonzero(alive & ~dynamic)
        laplacian = self.laplacian(angles)
        reduced = laplacian[np.ix_(keep, keep)]
        if len(gone):
            try:
                inner = np.linalg.solve(laplacian[np.ix_(gone, gone)], laplacian[np.ix_(gone, keep)])
            except np.linalg.LinAlgError:
                raise RiskInputError(
                    "buses without inertia and damping have no solution", code="C0742"
                ) from None
            reduced = reduced - laplacian[np.ix_(keep, gone)] @ inner
        return _relative(assemble(reduced, self.inertia[keep], self.damping[keep]), label[keep])

    def eigenvalues(self, angles: Floats) -> Complexes:
        """Give the eigenvalues of the state matrix, 1/s, the one that decays least first."""
        values = np.linalg.eigvals(self.state_matrix(angles)).astype(np.complex128)
        return values[np.lexsort((-values.imag, -np.round(values.real, 9)))]

    @cached_property
    def _free(self) -> NDArray[np.intp]:
        """List the buses but one of each island, which holds the angle 0."""
        _, reference = np.unique(self.islands, return_index=True)
        return np.setdiff1d(np.arange(len(self.buses)), reference)

    def _sent(self, curve: np.ufunc, angles: Floats) -> Floats:
        flow = self.stiffness * curve(angles[self.source] - angles[self.target])
        n = len(self.buses)
        return np.asarray(np.bincount(self.source, flow, n) - np.bincount(self.target, flow, n), np.float64)

    def _jacobian(self, weight: Floats) -> Floats:
        matrix = np.zeros((len(self.buses), len(self.buses)))
        np.add.at(matrix, (self.source, self.target), -weight)
        np.add.at(matrix, (self.target, self.source), -weight)
        np.add.at(matrix, (self.source, self.source), weight)
        np.add.at(matrix, (self.target, self.target), weight)
        return matrix

    def _newton(
        self, power: Floats, start: Floats, curve: np.ufunc, slope: Callable[[Floats], Floats]
    ) -> Floats | None:
        """Follow Newton's direction with halved steps, while the Jacobian stays positive definite."""
        free = self._free
        # A step is too long for the tangent where a line's angle leaves the open quarter turn.
        quarter = curve is np.tan
        goal = CONVERGED * max(1.0, float(self.stiffness.max(initial=0.0)))
        angle, mismatch = start.copy(), (power - self._sent(curve, start))[free]
        for _ in range(STEPS):
            jacobian = self._jacobian(self.stiffness * slope(angle[self.source] - angle[self.target]))
            try:
                root = np.linalg.cholesky(jacobian[np.ix_(free, free)])
            except np.linalg.LinAlgError:
                return None
            size = float(np.abs(mismatch).max(initial=0.0))
            if size <= goal:
                return angle
            move = np.zeros(len(angle))
            move[free] = np.linalg.solve(root.T, np.linalg.solve(root, mismatch))
            for _ in range(30):
                tried = angle + move
                wide = quarter and np.abs(tried[self.source] - tried[self.target]).max() >= np.pi / 2
                rest = (power - self._sent(curve, tried))[free]
                if not wide and np.abs(rest).max() < size:
                    break
                move /= 2.0
            else:
                return None
            angle, mismatch = tried, rest
        return None


def assemble(laplacian: Floats, inertia: Floats, damping: Floats) -> Floats:
    """Give A over all angles, then the speeds of the buses with inertia; every other bus needs damping."""
    n, heavy = len(inertia), np.flatnonzero(inertia > 0)
    light = np.flatnonzero(inertia <= 0)
    m, speed = len(heavy), n + np.arange(len(heavy))
    matrix = np.zeros((n + m, n + m))
    matrix[heavy, speed] = 1.0
    matrix[light, :n] = -laplacian[light] / damping[light, None]
    matrix[speed, :n] = -laplacian[heavy] / inertia[heavy, None]
    matrix[speed, speed] = -damping[heavy] / inertia[heavy]
    return matrix


def swing_model(
    ends: ArrayLike,
    stiffness: ArrayLike,
    inertia: ArrayLike,
    damping: ArrayLike,
    power: ArrayLike,
    reserve: ArrayLike | None = None,
) -> SwingModel:
    """Build a model from arrays; buses are named 0, 1, ... until `named` says otherwise.

    Args:
        ends: shape (lines, 2), positions of the buses; parallel lines add up.
        stiffness: by line, p.u., 0 or more.
        inertia: by bus, p.u. s² / rad, 0 or more; 0 is a load.
        damping: by bus, p.u. s / rad; 0 or more at a load.
        power: by bus, p.u.
        reserve: by bus, p.u., 0 or more; where it is left out it sets no limit.

    Raises:
        RiskInputError: C0742, for a wrong shape or value.
    """
    fed = as_numbers(power).ravel()
    n = len(fed)
    if n == 0:
        raise RiskInputError("there are no buses, expected one at least", code="C0742")
    pairs = line_ends(ends, n)
    limit = np.full(n, np.inf) if reserve is None else _by_bus("reserve", reserve, n, finite=False)
    model = SwingModel(
        tuple(range(n)),
        pairs[:, 0],
        pairs[:, 1],
        frozen(_by_bus("stiffness", stiffness, len(pairs))),
        frozen(_by_bus("inertia", inertia, n)),
        frozen(_by_bus("damping", damping, n)),
        frozen(_by_bus("power", fed, n)),
        frozen(limit),
    )
    if (model.stiffness < 0).any() or (model.inertia < 0).any() or (limit < 0).any():
        raise RiskInputError("expected stiffness, inertia and reserve of 0 or more", code="C0742")
    if ((model.inertia == 0) & (model.damping < 0)).any():
        raise RiskInputError("a bus without inertia has damping below 0, expected 0 or more", code="C0742")
    return model


def line_ends(ends: ArrayLike, n: int) -> Ints:
    """Give the ends of lines as positions among n buses.

    Raises:
        RiskInputError: C0742.
    """
    pairs = as_array(ends)
    if pairs.size == 0:
        return np.zeros((0, 2), np.int32)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise RiskInputError(f"`ends` has shape {pairs.shape}, expected two buses a line", code="C0742")
    if pairs.min() < 0 or pairs.max() >= n or (pairs[:, 0] == pairs[:, 1]).any():
        raise RiskInputError(f"a line does not join two of the buses 0..{n - 1}", code="C0742")
    return pairs.astype(np.int32)


def _relative(matrix: Floats, label: Ints) -> Floats:
    """Take the angles against the first bus of each island: exact, for a common turn changes nothing."""
    n, size = len(label), len(matrix)
    _, reference = np.unique(label, return_index=True)
    change = np.eye(size)
    for first in reference:
        change[:n][label == label[first], first] -= 1.0
    rest = np.setdiff1d(np.arange(size), reference)
    return np.asarray((change @ matrix)[np.ix_(rest, rest)])


def _by_bus(name: str, values: ArrayLike, n: int, *, finite: bool = True) -> Floats:
    array = as_numbers(values)
    if array.shape != (n,):
        raise RiskInputError(f"`{name}` has shape {array.shape}, expected {n} numbers", code="C0742")
    if np.isnan(array).any() or (finite and not np.isfinite(array).all()):
        raise RiskInputError(f"`{name}` are not all finite numbers", code="C0742")
    return array
