"""The charts: each function draws one thing onto axes that it is given, for page and picture alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ripstop.lab.report import wording
from ripstop.lab.report.ink import ARM_MARKS, DRONES, MODELS, Ink, Mark, on_maps
from ripstop.lab.report.risks import curves, models
from ripstop.lab.report.schema import ArmSummary, CalibrationPair, DroneMark, Interval, Live, Map

_DOT: Final = 26.0  # area of a drone's mark on a map of 150, in points squared
_REFERENCE_FLEET: Final = 150
# Marks of the legend that are no markers of Matplotlib's.
_MARKERS: Final = {"circle": "o", "ring": "o"}


def label(text: str, longest: int = 28) -> str:
    """Give text that every font can draw: printable ASCII, cut to a length."""
    shown = "".join(char if " " <= char <= "~" else "?" for char in text)
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."


def _colour(ink: Ink, name: str) -> str:
    colour: str = getattr(ink, name)
    return colour


def draw_map(axes: Axes, fleet: Map, ink: Ink) -> None:
    """Draw the fleet at one moment: drones by state, depots, pick-ups, restricted circles, the star."""
    finite = [d for d in fleet.drones if math.isfinite(d.x_m) and math.isfinite(d.y_m)]
    _frame_map(axes, fleet, finite, ink)
    for x, y, radius in fleet.circles:
        axes.add_patch(Circle((x, y), radius, facecolor=ink.orange, alpha=0.10, linewidth=0, zorder=1))
        axes.add_patch(
            Circle((x, y), radius, facecolor="none", edgecolor=ink.orange, linestyle=(0, (4, 3)), zorder=1)
        )
    _draw_star(axes, fleet, finite, ink)
    if fleet.depots:
        xs, ys = zip(*fleet.depots, strict=True)
        axes.scatter(
            xs, ys, s=46, marker="^", facecolor=ink.card, edgecolor=ink.text, linewidth=1.1, zorder=3
        )
    if fleet.pickups:
        axes.scatter(
            [p[0] for p in fleet.pickups],
            [p[1] for p in fleet.pickups],
            s=90,
            marker="*",
            facecolor=ink.purple,
            edgecolor=ink.card,
            linewidth=0.6,
            zorder=6,
        )
    scale = _DOT * min(1.5, max(0.3, math.sqrt(_REFERENCE_FLEET / max(len(finite), 1))))
    for order, (state, mark) in enumerate(DRONES.items()):
        drones = [drone for drone in finite if drone.state == state]
        if drones:
            _scatter(axes, drones, mark, ink, scale).set_zorder(4 + order / 10)
    faulty = next((drone for drone in finite if drone.id == fleet.faulty), None)
    if faulty is not None:
        _ring(axes, faulty, ink)


def _frame_map(axes: Axes, fleet: Map, drones: Sequence[DroneMark], ink: Ink) -> None:
    places = [(drone.x_m, drone.y_m) for drone in drones] + [*fleet.depots, (0.0, 0.0)]
    places.append((fleet.size_m, fleet.size_m))
    xs = [x for x, _ in places if math.isfinite(x)]
    ys = [y for _, y in places if math.isfinite(y)]
    side = max(max(xs) - min(xs), max(ys) - min(ys), 1.0)
    axes.set_xlim(min(xs) - side * 0.02, min(xs) + side * 1.02)
    axes.set_ylim(min(ys) - side * 0.02, min(ys) + side * 1.02)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
    bar = 10 ** math.floor(math.log10(side / 3))
    bar *= 5 if side / bar / 3 >= 5 else 2 if side / bar / 3 >= 2 else 1
    x, y = min(xs) + side * 0.03, min(ys) + side * 0.03
    axes.plot([x, x + bar], [y, y], color=ink.quiet, linewidth=2, solid_capstyle="butt", zorder=8)
    text = f"{bar / 1000:g} km" if bar >= 1000 else f"{bar:g} m"
    ground = {"facecolor": ink.card, "edgecolor": "none", "pad": 1.0}
    axes.text(x, y + side * 0.02, text, color=ink.quiet, va="bottom", fontsize="small", bbox=ground, zorder=8)


def _draw_star(axes: Axes, fleet: Map, drones: Sequence[DroneMark], ink: Ink) -> None:
    if fleet.star is None:
        return
    places = {drone.id: (drone.x_m, drone.y_m) for drone in drones}
    hub = places.get(fleet.star.hub)
    if fleet.star.x_m is not None and fleet.star.y_m is not None:
        hub = (fleet.star.x_m, fleet.star.y_m)
    members = [places[member] for member in fleet.star.members if member in places]
    if hub is None:  # its place is not known: show who belongs to it, draw no line to nowhere
        axes.scatter(
            [m[0] for m in members],
            [m[1] for m in members],
            s=_DOT * 3,
            facecolor="none",
            edgecolor=ink.purple,
            zorder=2,
        )
        return
    for x, y in members:
        axes.plot([hub[0], x], [hub[1], y], color=ink.purple, linewidth=0.8, alpha=0.55, zorder=2)
    axes.scatter(*hub, s=90, marker="h", facecolor=ink.purple, edgecolor=ink.card, zorder=7)


def _ring(axes: Axes, drone: DroneMark, ink: Ink) -> None:
    axes.scatter(
        drone.x_m, drone.y_m, s=190, facecolor="none", edgecolor=ink.text, linewidth=1.6, zorder=9, marker="o"
    )
    left, right = axes.get_xlim()
    inward = drone.x_m < (left + right) / 2
    axes.annotate(
        label(drone.id),
        (drone.x_m, drone.y_m),
        xytext=(10 if inward else -10, 8),
        textcoords="offset points",
        ha="left" if inward else "right",
        fontweight="bold",
        bbox={"facecolor": ink.card, "edgecolor": "none", "alpha": 0.75, "pad": 1.0},
        zorder=8.5,
    )


def _scatter(axes: Axes, drones: Sequence[DroneMark], mark: Mark, ink: Ink, area: float) -> PathCollection:
    colour = _colour(ink, mark.colour)
    return axes.scatter(
        [drone.x_m for drone in drones],
        [drone.y_m for drone in drones],
        s=area * mark.size,
        marker=mark.marker,
        facecolor="none" if mark.hollow else colour,
        edgecolor=colour if mark.hollow else ink.card,
        linewidth=1.0 if mark.hollow else 0.4,
    )


def draw_risk(axes: Axes, live: Live, enter: float, ink: Ink) -> None:
    """Draw each model's probability of a cascade over time: as if nothing were done, and with mitigations."""
    axes.axhline(enter, color=ink.red, linewidth=1.2, linestyle=(0, (5, 3)), zorder=2)
    drawn = curves(live)
    names = models(live)
    for curve in drawn:
        mark = MODELS[names.index(curve.model) % len(MODELS)]
        colour = _colour(ink, mark.colour)
        times = [point.t_s - live.fault_t_s for point in curve.points]
        if curve.without_mitigation:
            lows, highs = [p.low for p in curve.points], [p.high for p in curve.points]
            axes.fill_between(times, lows, highs, color=colour, alpha=0.16, linewidth=0, zorder=3)
        axes.plot(
            times,
            [point.probability for point in curve.points],
            color=colour,
            linewidth=1.8 if curve.without_mitigation else 1.3,
            linestyle="-" if curve.without_mitigation else (0, (2, 2)),
            marker=mark.marker,
            markersize=4 if curve.without_mitigation else 3,
            markevery=max(1, len(times) // 14),
            zorder=4,
        )
    axes.set_ylim(-0.02, 1.02)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.6), max(high, 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="y")
    axes.set_xlabel("seconds after the fault")
    edge = axes.get_xlim()[1]
    axes.text(
        edge, enter + 0.015, f"threshold {wording.figure(enter)}", color=ink.red, ha="right", va="bottom"
    )
    _mark_moments(axes, live, ink)


def _mark_moments(axes: Axes, live: Live, ink: Ink) -> None:
    steps = {step.number: step.wall_s for step in live.steps if step.reached}
    moments = (
        ("fault", 0.0, "right"),
        ("restricted", steps.get(5), "left"),
        ("recovered", steps.get(7), "left"),
    )
    low, high = axes.get_xlim()
    for name, moment, side in moments:
        if moment is None or not low <= moment <= high:  # a NaN is nowhere either
            continue
        axes.axvline(
            moment, color=ink.text, linewidth=0.9, linestyle="-" if name == "fault" else ":", zorder=2
        )
        axes.annotate(
            name,
            (moment, 1.02),
            xytext=(2 if side == "left" else -2, 2),
            textcoords="offset points",
            va="bottom",  # above the plot, clear of its curves and of the axis's own figures
            ha=side,
        )


def draw_arms(
    axes: Axes, arms: Sequence[ArmSummary], quantity: str, ink: Ink, line: float | None = None
) -> None:
    """Draw one quantity of all arms: a dot a seed (a cross where it cascaded), the mean and its interval.

    Args:
        axes: where to draw.
        arms: the arms, from above.
        quantity: the name of a field that `ArmSummary` and `ArmRun` share.
        ink: the colours.
        line: a value to mark, as the share from which on it is a cascade.
    """
    if line is not None:
        axes.axvline(line, color=ink.red, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    for row, arm in enumerate(arms):
        colour = _colour(ink, ARM_MARKS[arm.arm].colour)
        summary: Interval = getattr(arm, quantity)
        axes.plot(
            [summary.low, summary.high],
            [row, row],
            color=colour,
            linewidth=7,
            alpha=0.28,
            solid_capstyle="round",
            zorder=2,
        )
        axes.plot([summary.mean] * 2, [row - 0.3, row + 0.3], color=colour, linewidth=2.4, zorder=3)
        for collapsed, marker in ((False, "o"), (True, "X")):
            spots = [
                (getattr(run, quantity), row + 0.34 * _between(i, len(arm.runs)))
                for i, run in enumerate(arm.runs)
                if run.collapse is collapsed
            ]
            axes.scatter(
                [x for x, _ in spots],
                [y for _, y in spots],
                s=34 if collapsed else 18,
                marker=marker,
                facecolor=colour,
                edgecolor=ink.card,
                linewidth=0.6,
                zorder=4,
            )
    axes.set_yticks(range(len(arms)), [arm.arm for arm in arms])
    axes.tick_params(axis="y", length=0, labelcolor=ink.text)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    if line is not None:
        axes.text(
            line, len(arms) - 0.55, f" a cascade from {wording.percent(line)}", color=ink.red, va="bottom"
        )
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -0.01 * high), high)
    if quantity == "grounded_share":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
        if line is not None and math.isfinite(line):
            axes.set_xlim(right=max(high, line * 1.25))


def _between(index: int, number: int) -> float:
    return 0.0 if number < 2 else 2 * index / (number - 1) - 1


def draw_series(axes: Axes, arm: ArmSummary, theta: float, ink: Ink) -> None:
    """Draw one arm's grounded share over the shift, a line a seed and their mean."""
    colour = _colour(ink, ARM_MARKS[arm.arm].colour)
    axes.axhline(theta, color=ink.red, linewidth=1.0, linestyle=(0, (5, 3)), zorder=1)
    series = [thin(run.series) for run in arm.runs if run.series]
    for line in series:
        minutes = [t / 60 for t, _ in line]
        axes.plot(minutes, [v for _, v in line], color=colour, linewidth=0.9, alpha=0.5, zorder=2)
    middle = mean_series([run.series for run in arm.runs if run.series])
    axes.plot([t / 60 for t, _ in middle], [v for _, v in middle], color=colour, linewidth=2.4, zorder=3)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1.0], ["0", "50 %", "100 %"])
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y")
    axes.set_xlabel("minutes")


def thin(series: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out the points between two that have the same value: the line stays the same."""
    return [
        point
        for i, point in enumerate(series)
        if i in (0, len(series) - 1) or not series[i - 1][1] == point[1] == series[i + 1][1]
    ]


def mean_series(runs: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Give the mean over runs at the moments that all of them have."""
    if not runs:
        return []
    values = [dict(run) for run in runs]
    shared = sorted(set(values[0]).intersection(*values[1:]))
    return thin([(t, sum(run[t] for run in values) / len(values)) for t in shared])


def draw_calibration(
    axes: Axes, pairs: Sequence[CalibrationPair], model: str, limits: tuple[float, float], ink: Ink
) -> None:
    """Draw what a model foretold against what then happened, a mark a seed.

    Args:
        axes: where to draw.
        pairs: forecasts and outcomes.
        model: `percolation` or `load`.
        limits: the threshold on the forecast, and the share that counts as a cascade.
        ink: the colours.
    """
    enter, theta = limits
    axes.axvline(enter, color=ink.red, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    axes.axhline(theta, color=ink.quiet, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
    for collapsed, marker, colour, size in ((True, "X", ink.red, 52), (False, "o", ink.blue, 30)):
        chosen = [pair for pair in pairs if pair.collapsed is collapsed]
        axes.scatter(
            [pair.load if model == "load" else pair.percolation for pair in chosen],
            [pair.outcome_share for pair in chosen],
            s=size,
            marker=marker,
            facecolor=colour,
            edgecolor=ink.card,
            linewidth=0.6,
            zorder=3,
            clip_on=False,
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.5, 1.0], ["0", "50 %", "100 %"])
    axes.grid()
    axes.set_xlabel("foretold probability of a cascade")
    axes.set_ylabel("grounded in the end")
    # above the plot, clear of the marks of seeds
    axes.text(enter, 1.035, f"acts from {wording.figure(enter)}", color=ink.red, va="bottom", ha="left")
    axes.text(1.0, theta + 0.015, f"a cascade from {wording.percent(theta)}", color=ink.quiet, ha="right")


def legend_of_models(live: Live, ink: Ink) -> list[Line2D]:
    """Give the entries of the risk chart's legend, for where the page has none beside it."""
    return [
        _entry(wording.model(name), mark, ink, lined=True)
        for name, mark in zip(models(live), MODELS, strict=False)
    ]


def legend_of_maps(maps: Sequence[Map], ink: Ink) -> list[Line2D]:
    """Give the entries of the maps' legend, of what is on them."""
    return [_entry(name, mark, ink) for name, mark in on_maps(maps)]


def _entry(name: str, mark: Mark, ink: Ink, *, lined: bool = False) -> Line2D:
    colour = _colour(ink, mark.colour)
    return Line2D(
        [],
        [],
        color=colour,
        linestyle="-" if lined else "",
        marker=_MARKERS.get(mark.marker, mark.marker),
        markersize=7,
        markerfacecolor="none" if mark.hollow else colour,
        label=label(name),
    )
