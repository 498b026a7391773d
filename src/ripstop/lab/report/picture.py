"""The picture of a run for a README: the maps, the risk, and the arms on one sheet."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any, Final

from ripstop.core.errors import missing_extra
from ripstop.lab.report import findings, risks
from ripstop.lab.report.ink import PAPER
from ripstop.lab.report.schema import Live, Map, Outcome, Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_WIDTH_PX: Final = 1060.0
_TOP_PX: Final = 86.0
_ROW_PX: Final = 360.0
_MARGIN: Final = 0.012  # of the sheet, on every side
_DOTS_PER_INCH: Final = 144  # twice the drawing's own units, for sharp screens
_LINE: Final = 100  # characters of the headline on one line
_MOST_MAPS: Final = 3
_TITLE: Final[dict[str, Any]] = {"loc": "left", "fontweight": "bold", "fontsize": 12}


def render(report: Report) -> bytes:
    """Draw the picture as PNG.

    Raises:
        ConfigurationError: C0001 if Matplotlib is not installed.
    """
    try:
        from ripstop.lab.report import svg
    except ImportError as error:
        raise missing_extra(error.name or "matplotlib", "sim") from error
    live, outcome = report.live, report.outcome
    has_maps = live is not None and bool(live.maps)
    has_charts = bool(outcome and outcome.arms) or (live is not None and bool(risks.curves(live)))
    out = io.BytesIO()
    with svg.drawing(PAPER):
        sheet = svg.figure(_WIDTH_PX, _TOP_PX + _ROW_PX * (has_maps + has_charts))
        sheet.set_facecolor(PAPER.card)
        inside = (_MARGIN, _MARGIN, 1 - 2 * _MARGIN, 1 - 2 * _MARGIN)
        sheet.set_layout_engine("constrained", rect=inside, h_pad=0.08)
        headline = textwrap.fill(findings.headline(report), _LINE)
        sheet.suptitle(headline, fontsize=14, fontweight="bold", ha="left", x=_MARGIN)
        if has_maps or has_charts:
            parts = sheet.subfigures(has_maps + has_charts, 1, squeeze=False)[:, 0]
            if has_maps and live is not None:
                _draw_maps(parts[0], live.maps[:_MOST_MAPS])
            if has_charts:
                _draw_charts(parts[-1], report, live, outcome)
        sheet.savefig(out, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return out.getvalue()


def _draw_maps(part: Figure | SubFigure, maps: tuple[Map, ...]) -> None:
    from ripstop.lab.report import charts

    for axes, fleet in zip(part.subplots(1, len(maps), squeeze=False)[0], maps, strict=True):
        charts.draw_map(axes, fleet, PAPER)
        axes.set_title(charts.label(fleet.label).capitalize(), **_TITLE)
    entries = charts.legend_of_maps(maps, PAPER)
    part.legend(handles=entries, loc="outside lower left", ncols=len(entries), frameon=False, fontsize=10)


def _draw_charts(
    part: Figure | SubFigure, report: Report, live: Live | None, outcome: Outcome | None
) -> None:
    from ripstop.lab.report import charts

    scenario = report.scenario
    has_risk = live is not None and bool(risks.curves(live))
    arms = [arm for arm in outcome.arms if arm.runs] if outcome else []
    both = has_risk and bool(arms)
    panels = list(part.subplots(1, 2, width_ratios=(3, 2))) if both else [part.subplots()]
    if has_risk and live is not None:
        charts.draw_risk(panels[0], live, scenario.enter, PAPER)
        panels[0].set_title("Risk of a cascade", pad=22, **_TITLE)  # the moments are named below it
        entries = charts.legend_of_models(live, PAPER)
        panels[0].legend(handles=entries, loc="upper right", bbox_to_anchor=(1, 0.9), edgecolor="none")
    if arms:
        charts.draw_arms(panels[-1], arms, "grounded_share", PAPER, scenario.theta)
        panels[-1].set_title("Fleet grounded, a mark a seed", pad=22, **_TITLE)
