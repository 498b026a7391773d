"""Stability margin: the least damping of a network's swings, and how much more load it would bear.

The headroom is where the first of three limits is met along a direction of growing load: reserves are used
up, the power flow has no stable solution any more, or the linearised model starts to grow. Damping and
headroom of an identified model carry intervals, by drawing models from the estimate's distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.identification import Identified
from ripstop.risk.inputs import as_number, as_numbers
from ripstop.risk.kinds import TRUTH, Kind, takes
from ripstop.risk.settings import check_seed, check_whole
from ripstop.risk.swing import Complexes, Floats, SwingModel

AT_REST = 1e-7  # of the largest eigenvalue; a real part within it neither grows nor decays
CLOSE = 1e-7  # relative; how closely a limit is found
ROUGHLY = 1e-4  # the same for one draw of many
PURPOSE = 0x7377696E67  # "swing": keys these draws apart from other uses of the seed


@dataclass(frozen=True, slots=True)
class Mode:
    """One swing: how fast, and its damping ratio (1 is critical, below 0 it grows)."""

    frequency_hz: float
    damping: float


@dataclass(frozen=True, slots=True)
class StabilityReport:
    """How far a network is from losing stability.

    Attributes:
        is_stable: there is an operating point, and it is known that nothing grows there.
        eigenvalues: 1/s, the one that decays least first; empty without an operating point, or not known.
        damping: the least damping ratio of all swings, -1 without an operating point, 1 if nothing swings,
            NaN where it is not known: then its interval is -1 to 1.
        headroom: p.u., how much more load there can be.
        limit: what is met first: `reserve`, `angle` (no power flow), `damping`, or `none`.
        limits: the headroom to each of them, p.u.; infinite where it is not met.
        damping_low, damping_high, headroom_low, headroom_high: the intervals; the values of a given model.
        confidence, draws, seed: of the intervals; no draws for a given model.
        islands: how many parts the network has.
        notes: what limits the result.
    """

    is_stable: bool
    eigenvalues: tuple[complex, ...]
    damping: float
    headroom: float
    limit: str
    limits: tuple[tuple[str, float], ...]
    damping_low: float
    damping_high: float
    headroom_low: float
    headroom_high: float
    confidence: float
    draws: int
    seed: int
    islands: int
    notes: tuple[str, ...] = ()

    def modes(self) -> tuple[Mode, ...]:
        """List the swings (pairs of complex eigenvalues), the least damped first."""
        swings = [v for v in self.eigenvalues if v.imag > AT_REST * abs(v)]
        found = [Mode(abs(v.imag) / (2.0 * math.pi), -v.real / abs(v)) for v in swings]
        return tuple(sorted(found, key=lambda mode: mode.damping))

    def signals(self) -> dict[str, float]:
        """Give the figures under the names that a trigger's expression reads."""
        names = ("damping", "damping_low", "damping_high", "headroom", "headroom_low", "headroom_high")
        return {name: float(getattr(self, name)) for name in names}

    def to_json(self) -> dict[str, object]:
        """Give the report as plain JSON; what is infinite becomes null."""
        figures = {name: _plain(value) for name, value in self.signals().items()}
        return {
            "is_stable": self.is_stable,
            **figures,
            "limit": self.limit,
            "limits": {name: _plain(value) for name, value in self.limits},
            "modes": [{"frequency_hz": m.frequency_hz, "damping": m.damping} for m in self.modes()],
            "eigenvalues": [[v.real, v.imag] for v in self.eigenvalues],
            "confidence": self.confidence,
            "draws": self.draws,
            "seed": self.seed,
            "islands": self.islands,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class MarginTrigger:
    """A threshold with hysteresis: entered below one value, left above another.

    It goes by the lower ends of the intervals; `is_active` is asked with what it answered last.

    Attributes:
        damping_enter, damping_exit: damping ratios; 3 and 5 % are usual in operation.
        headroom_enter, headroom_exit: p.u.

    Raises:
        RiskInputError: C0715, if an exit lies below its enter or one is no number.
    """

    damping_enter: float = 0.03
    damping_exit: float = 0.05
    headroom_enter: float = 0.0
    headroom_exit: float = 0.0

    def __post_init__(self) -> None:
        for name in ("damping", "headroom"):
            enter, leave = (as_number(getattr(self, f"{name}_{end}")) for end in ("enter", "exit"))
            if not (math.isfinite(enter) and math.isfinite(leave) and leave >= enter):
                raise RiskInputError(
                    f"`{name}_exit` is {leave}, expected it not below `{name}_enter`, which is {enter}",
                    code="C0715",
                )

    @takes(report=Kind("a report of the margin", StabilityReport), was_active=TRUTH)
    def is_active(self, report: StabilityReport, *, was_active: bool) -> bool:
        """Tell whether the trigger holds, given whether it held before."""
        if not report.is_stable:
            return True
        if was_active:
            return report.damping_low < self.damping_exit or report.headroom_low < self.headroom_exit
        return report.damping_low < self.damping_enter or report.headroom_low < self.headroom_enter


@takes(model=Kind("a swing model, given or identified", (SwingModel, Identified)))
def margin(
    model: SwingModel | Identified,
    direction: ArrayLike | None = None,
    *,
    share: ArrayLike | None = None,
    draws: int = 200,
    seed: int = 0,
) -> StabilityReport:
    """Give the least damping ratio and the headroom along a direction of growing load.

    Cost: some tens of power flows and, where damping is below 0 somewhere, of eigenvalue problems; as much
    again for each draw.

    Args:
        model: as given, or as identified; then the figures have intervals.
        direction: by bus, how the load grows; scaled to add up to 1. By default as what draws power does.
        share: by bus, who takes it over, within its island. By default by reserve, or by inertia where some
            machine's reserve is not known.
        draws: models drawn from what was identified.
        seed: the same seed gives the same bytes.

    Raises:
        RiskInputError: C0713 for the seed, C0715 for the draws, C0742 for a direction or share that
            is none, or a model that does not balance.
    """
    seed = check_seed(seed)
    draws = check_whole("draws", draws, "C0715", least=20, below=1 << 20)
    given = model.model if isinstance(model, Identified) else model
    swings = model.swings if isinstance(model, Identified) else None
    if swings is not None:  # what the model says of damping is not believed
        given = replace(given, damping=np.maximum(given.damping, 0.0))
    growth = _direction(given, direction)
    taken = _share(given, growth, share)
    eigenvalues, damping, limits = _figures(given, growth, taken)
    confidence, notes = 1.0, _notes(given, eigenvalues)
    if swings is not None and eigenvalues is not None:
        eigenvalues, damping = swings.eigenvalues, swings.damping
        limits["damping"] = 0.0 if _grows(eigenvalues) else math.inf
    elif isinstance(model, Identified) and not model.is_believable:
        eigenvalues, damping = None, math.nan
    limit = min(limits, key=lambda name: limits[name])
    headroom = limits[limit]
    bounds = (damping, damping, headroom, headroom)
    if isinstance(model, Identified):
        confidence, notes = model.confidence, model.notes + notes
        bounds = _bounds(model, growth, taken, draws, seed)
    return StabilityReport(
        eigenvalues is not None and damping > -1.0 and not _grows(eigenvalues),
        () if eigenvalues is None else tuple(eigenvalues.tolist()),
        damping,
        headroom,
        limit if math.isfinite(headroom) else "none",
        tuple(limits.items()),
        *bounds,
        confidence,
        draws if isinstance(model, Identified) else 0,
        seed,
        int(given.islands.max(initial=-1)) + 1,
        notes,
    )


def _figures(
    model: SwingModel, growth: Floats, taken: Floats, close: float = CLOSE
) -> tuple[Complexes | None, float, dict[str, float]]:
    """Give eigenvalues, least damping ratio and the headroom to each limit."""
    angles = model.operating_point()
    reserve = _to_reserve(model, growth, taken)
    if angles is None:
        return None, -1.0, {"angle": 0.0, "damping": 0.0, "reserve": reserve}
    eigenvalues = model.eigenvalues(angles)
    if _grows(eigenvalues):
        return eigenvalues, _least(eigenvalues), {"damping": 0.0, "angle": 0.0, "reserve": reserve}
    angle, damping = _to_instability(model, angles, taken - growth, close)
    return eigenvalues, _least(eigenvalues), {"reserve": reserve, "angle": angle, "damping": damping}


def _grows(eigenvalues: Complexes) -> bool:
    scale = float(np.abs(eigenvalues).max(initial=0.0))
    return bool((eigenvalues.real > AT_REST * max(scale, AT_REST)).any())


def _least(eigenvalues: Complexes) -> float:
    swings = eigenvalues[eigenvalues.imag > AT_REST * np.abs(eigenvalues)]
    ratio = float((-swings.real / np.abs(swings)).min(initial=1.0))
    if abs(ratio) < AT_REST:  # without damping, but for rounding
        ratio = 0.0
    # What grows without swinging is as bad as it gets.
    growing = (eigenvalues.real > AT_REST * np.abs(eigenvalues).max(initial=0.0)) & (eigenvalues.imag == 0)
    return -1.0 if growing.any() else ratio


def _to_reserve(model: SwingModel, growth: Floats, taken: Floats) -> float:
    label = model.islands
    lacking = np.abs(np.bincount(label, growth - taken)) > CLOSE
    if lacking.any():  # load would grow where nobody can take it over
        return 0.0
    used = taken > 0
    return float((model.reserve[used] / taken[used]).min(initial=np.inf))


def _to_instability(model: SwingModel, angles: Floats, way: Floats, close: float) -> tuple[float, float]:
    """Give how far one can go until the power flow fails, and until something grows, by halving."""
    if np.abs(way).max(initial=0.0) < CLOSE:
        return math.inf, math.inf
    power = model.sent(angles)
    lossy = bool((model.damping < 0).any())

    def furthest(*, damped: bool) -> float:
        # No cut carries more than all lines together, so the way has an end.
        low, high, start = 0.0, float(model.stiffness.sum() + np.abs(power).sum()), angles
        high = high / float(np.abs(way).max()) + 1.0
        while high - low > close * max(high, close):
            tried = (low + high) / 2.0
            at = model.solve(power + tried * way, start)
            if at is None or (damped and _grows(model.eigenvalues(at))):
                high = tried
            else:
                low, start = tried, at
        return low

    angle = furthest(damped=False)
    steady = furthest(damped=True) if lossy else angle
    return angle, steady if steady < angle * (1.0 - 10.0 * close) else math.inf


def _direction(model: SwingModel, direction: ArrayLike | None) -> Floats:
    if direction is None:
        growth = np.maximum(-model.power, 0.0)
        hint = "the model has no load: give a `direction`"
    else:
        growth, hint = _shares("direction", direction, model), "expected a load above 0 somewhere"
    if not growth.sum() > 0.0:
        raise RiskInputError("the `direction` is 0 everywhere", code="C0742", hint=hint)
    return np.asarray(growth / growth.sum())


def _share(model: SwingModel, growth: Floats, share: ArrayLike | None) -> Floats:
    """Share each island's growth among those of it that take it over."""
    if share is not None:
        weight = _shares("share", share, model)
    else:
        known = np.isfinite(model.reserve[model.inertia > 0]).all() and np.isfinite(model.reserve).all()
        weight = model.reserve.copy() if known else model.inertia.copy()
    label = model.islands
    held, wanted = np.bincount(label, weight), np.bincount(label, growth)
    part = np.divide(wanted, held, out=np.zeros_like(wanted), where=held > 0)
    return np.asarray(weight * part[label])


def _shares(name: str, values: ArrayLike, model: SwingModel) -> Floats:
    array = as_numbers(values)
    if array.shape != (len(model.buses),) or not np.isfinite(array).all() or (array < 0).any():
        raise RiskInputError(
            f"`{name}` is no finite number, 0 or more, for each of {len(model.buses)} buses", code="C0742"
        )
    return array


def _notes(model: SwingModel, eigenvalues: Complexes | None) -> tuple[str, ...]:
    notes = []
    count = int(model.islands.max(initial=-1)) + 1
    if count > 1:
        notes.append(f"the network has {count} islands, each of which balances itself")
    notes += _imbalances(model)
    if eigenvalues is None:
        notes.append("there is no operating point: the lines cannot carry what is fed in")
    elif not len(eigenvalues):
        notes.append("nothing swings: no bus has inertia, or each is alone")
    elif _creeps(eigenvalues):
        notes.append("a deviation grows without swinging")
    return tuple(notes)


def _creeps(eigenvalues: Complexes) -> bool:
    at_rest = AT_REST * np.abs(eigenvalues).max()
    return bool(((eigenvalues.real > at_rest) & (np.abs(eigenvalues.imag) <= at_rest)).any())


def _imbalances(model: SwingModel) -> list[str]:
    """Say where injections do not add up, and at what frequency damping makes up for it."""
    if model.angles is not None:
        return []
    label, notes = model.islands, []
    excess, droop = np.bincount(label, model.power), np.bincount(label, model.damping)
    least = CLOSE * max(1.0, float(np.abs(model.power).max(initial=0.0)))
    for island in np.flatnonzero((np.abs(excess) > least) & (droop > 0.0)).tolist():
        bus, over = model.buses[int(np.flatnonzero(label == island)[0])], float(excess[island])
        away_hz = abs(over) / float(droop[island]) / (2.0 * math.pi)
        sides = ("more", "above") if over > 0 else ("less", "below")
        notes.append(
            f"the island of bus `{bus}` is fed {abs(over):g} p.u. {sides[0]} than it draws: its frequency "
            f"settles {away_hz:.3g} Hz {sides[1]} nominal"
        )
    return notes


def _bounds(
    found: Identified, growth: Floats, taken: Floats, draws: int, seed: int
) -> tuple[float, float, float, float]:
    """Give the ends of both intervals: quantiles of models drawn from what was identified."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, PURPOSE])))
    figures: list[tuple[float, float]] = []
    for drawn in found.draw(draws, rng=rng):
        if drawn is None:
            figures.append((-1.0, 0.0))
            continue
        model = drawn if found.swings is None else replace(drawn, damping=np.maximum(drawn.damping, 0.0))
        _, damping, limits = _figures(model, growth, taken, ROUGHLY)
        figures.append((damping, min(limits.values())))
    tail = (1.0 - found.confidence) / 2.0
    table: NDArray[np.float64] = np.array(figures)
    # Of two infinite neighbours NumPy's interpolation makes NaN: take an observed one.
    low = np.quantile(table, tail, axis=0, method="lower")
    high = np.quantile(table, 1.0 - tail, axis=0, method="higher")
    if found.swings is not None:
        return *found.swings.between(found.confidence), float(low[1]), float(high[1])
    if not found.is_believable:
        return -1.0, 1.0, 0.0, float(high[1])
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
