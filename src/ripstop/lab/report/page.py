"""The page of a run: one file that opens from disk, fetches nothing, and needs no script to be read."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ripstop.core.errors import missing_extra
from ripstop.lab.report import findings, lanes, risks, wording
from ripstop.lab.report.glossary import GLOSSARY
from ripstop.lab.report.ink import ARM_MARKS, DRONES, MODELS, on_maps
from ripstop.lab.report.schema import Live, Map, Outcome, Report

if TYPE_CHECKING:
    import jinja2

_TEMPLATES: Final = Path(__file__).parent / "templates"
_LONGEST_TEXT: Final = 2_000  # characters of one value; longer ones are cut
_LONGEST_TIMELINE: Final = 400
_UNIT: Final = re.compile(r"(?<=\d) (?=(?:s|ms|min|km|m)\b|%)")  # no line break between a figure and its unit


def render(report: Report) -> str:
    """Make the page.

    Raises:
        ConfigurationError: C0001 if Matplotlib or Jinja is not installed.
    """
    try:
        import jinja2
        import markupsafe

        from ripstop.lab.report import drawings
    except ImportError as error:
        raise missing_extra(error.name or "matplotlib", "sim") from error
    script = _file("comfort.js")
    own = markupsafe.Markup  # for text that is ours: style, script, and drawings, whose words are escaped
    return (
        _environment(jinja2.FileSystemLoader(_TEMPLATES))
        .get_template("report.html.j2")
        .render(
            report=report,
            headline=findings.headline(report),
            figures=findings.key_figures(report),
            measured_where=findings.measured_where(report),
            drawn={name: own(drawing) for name, drawing in drawings.draw_all(report).items()},
            live=_live(report.live, report) if report.live else None,
            outcome=_outcome(report.outcome, report) if report.outcome else None,
            glossary=GLOSSARY,
            style=own(_file("style.css")),
            script=own(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _file(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


def _environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        plural=wording.plural,
        seconds=wording.seconds,
        clock=wording.clock,
        milliseconds=wording.milliseconds,
        percent=wording.percent,
        count=wording.count,
        times=wording.times,
        drone_time=wording.drone_time,
        spread=wording.spread,
        moment=wording.moment,
        model=wording.model,
        figure=wording.figure,
    )
    return environment


def _finalize(value: object) -> object:
    """Make every text that reaches the page printable; what is marked as our own stays as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _UNIT.sub("\u00a0", wording.clean(value, _LONGEST_TEXT))
    return value


def _live(live: Live, report: Report) -> dict[str, object]:
    axis = lanes.steps_axis(live)
    worst = findings.slowest_dispatch(live)
    stages, ticks, bar_at = lanes.dispatch_stages(worst) if worst else ((), (), 0.0)
    return {
        "part": live,
        "reached": findings.reached_steps(live),
        "axis": axis,
        "acknowledged": findings.acknowledged(live),
        "maps": [(fleet, _states(fleet)) for fleet in live.maps],
        "legend": on_maps(live.maps),
        "watched": risks.watched(live),
        "risks": risks.sentences(live, report.scenario.enter),
        "models": [
            (wording.model(model), mark) for model, mark in zip(risks.models(live), MODELS, strict=False)
        ],
        "others": risks.others_above(live, report.scenario.enter),
        "worst": worst,
        "stages": stages,
        "ticks": ticks,
        "bar_at": bar_at,
        "dispatch_bar_ms": findings.DISPATCH_BAR_MS,
        "timeline": sorted(live.timeline, key=lambda happening: happening.t_s)[:_LONGEST_TIMELINE],
        "left_out": max(0, len(live.timeline) - _LONGEST_TIMELINE),
    }


def _states(fleet: Map) -> str:
    counted = Counter(drone.state for drone in fleet.drones)
    return " · ".join(f"{counted[state]} {state}" for state in reversed(DRONES) if counted[state])


def _outcome(outcome: Outcome, report: Report) -> dict[str, object]:
    pairs = outcome.calibration.pairs if outcome.calibration else ()
    return {
        "part": outcome,
        "arms": [
            (arm, findings.ARM_TITLES[arm.arm], ARM_MARKS[arm.arm], findings.collapses(arm))
            for arm in outcome.arms
        ],
        "price": findings.price(outcome),
        "calibration": [
            (model, findings.calibration_sentence(pairs, model, report.scenario.enter))
            for model in ("percolation", "load")
        ],
    }
