"""Every chart of the page, drawn; this module and those below it are what loads Matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from matplotlib.axes import Axes

from ripstop.lab.report import charts, findings, risks, svg, wording
from ripstop.lab.report.ink import PAGE
from ripstop.lab.report.schema import Live, Outcome, Report, Scenario

# Natural sizes in the page's pixels; the risk chart has a second one, since it would shrink too far.
_MAP: Final = (350.0, 350.0)
_RISK: Final = {"wide": (1040.0, 320.0), "narrow": (350.0, 300.0)}
_ARMS_WIDTH: Final = 390.0
_SERIES: Final = (200.0, 150.0)
_CALIBRATION: Final = (390.0, 280.0)


def draw_all(report: Report) -> dict[str, str]:
    """Give the SVG of each chart by its name."""
    with svg.drawing(PAGE):
        drawn: dict[str, str] = {}
        if report.live is not None:
            drawn.update(_live(report.live, report.scenario))
        if report.outcome is not None:
            drawn.update(_outcome(report.outcome, report.scenario))
        return drawn


def _one(name: str, title: str, size: tuple[float, float], draw: Callable[[Axes], None]) -> tuple[str, str]:
    figure = svg.figure(*size)
    draw(figure.add_subplot())
    return name, svg.inline(figure, name, title)


def _live(live: Live, scenario: Scenario) -> Iterator[tuple[str, str]]:
    for i, fleet in enumerate(live.maps):
        title = f"Map of the fleet, {wording.clean(fleet.label, 40)}, {wording.clock(fleet.t_s)}"
        yield _one(f"map{i}", title, _MAP, partial(charts.draw_map, fleet=fleet, ink=PAGE))
    if risks.curves(live):
        title = "Risk over time. " + "; ".join(risks.sentences(live, scenario.enter))
        draw = partial(charts.draw_risk, live=live, enter=scenario.enter, ink=PAGE)
        for name, size in _RISK.items():
            yield _one(f"risk_{name}", title, size, draw)


def _outcome(outcome: Outcome, scenario: Scenario) -> Iterator[tuple[str, str]]:
    arms = [arm for arm in outcome.arms if arm.runs]
    size = (_ARMS_WIDTH, 40.0 + 38.0 * len(arms))
    for quantity, line in (("grounded_share", scenario.theta), ("deliveries", None)) if arms else ():
        name = quantity.replace("_", " ").capitalize()
        means = "; ".join(f"{findings.ARM_TITLES[arm.arm]} {getattr(arm, quantity).mean:.4g}" for arm in arms)
        draw = partial(charts.draw_arms, arms=arms, quantity=quantity, ink=PAGE, line=line)
        yield _one(quantity, f"{name}, a dot a seed. Means: {means}", size, draw)
    for arm in arms:
        if any(run.series for run in arm.runs):
            title = f"Grounded share over the shift, {findings.ARM_TITLES[arm.arm]}, a line a seed"
            draw_one = partial(charts.draw_series, arm=arm, theta=scenario.theta, ink=PAGE)
            yield _one(f"series_{arm.arm.replace(' ', '_')}", title, _SERIES, draw_one)
    if outcome.calibration is not None and outcome.calibration.pairs:
        pairs, limits = outcome.calibration.pairs, (scenario.enter, scenario.theta)
        for model in ("percolation", "load"):
            title = f"{wording.model(model)}: {findings.calibration_sentence(pairs, model, scenario.enter)}"
            draw_two = partial(charts.draw_calibration, pairs=pairs, model=model, limits=limits, ink=PAGE)
            yield _one(f"calibration_{model}", title, _CALIBRATION, draw_two)
