"""Pictures of reports: ranking with intervals, cascade sizes, the graph by risk, reliability diagrams."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ripstop.core.errors import missing_extra
from ripstop.risk.assessment import assess
from ripstop.risk.calibration import Calibration
from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast import CrossingReport
from ripstop.risk.graph import Graph
from ripstop.risk.report import RiskReport
from ripstop.risk.settings import Settings
from ripstop.risk.textfile import put_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = tuple(k / 20 for k in range(20))
MOST_DRAWN = 500  # nodes; a larger graph is a blot
MOST_NAMED = 8  # nodes of the graph that bear their names, the riskiest
MOST_ARROWS = 500  # beyond it a directed graph is drawn without
# Okabe and Ito (2008), Color Universal Design: colours for all eyes; the dashes tell the lines apart in grey.
_LINES = (
    ("#0072b2", "-"),
    ("#d55e00", "--"),
    ("#009e73", "-."),
    ("#cc79a7", ":"),
    ("#56b4e9", (0, (6, 2, 1, 2, 1, 2))),
)
_RISK, _QUIET = _LINES[0][0], "0.45"


def exceedance(
    graph: Graph,
    *,
    trials: int = 1000,
    seed: int = 0,
    model: str = "percolation",
    settings: Settings | None = None,
) -> NDArray[np.float64]:
    """Give P(share lost > x) for x = 0, 0.05 .. 0.95, shape (20, nodes), on common worlds.

    Raises:
        RiskInputError: as `assess`.
    """
    how = replace(settings or Settings(), threshold=None, expected=False, pool=None)
    asked: dict[str, Any] = {"trials": trials, "seed": seed, "model": model, "settings": how}
    return np.array([assess(graph, theta=x, **asked).probability for x in SHARES])


def plot_report(
    report: RiskReport, graph: Graph, path: str | Path, *, top: int = 20, settings: Settings | None = None
) -> None:
    """Draw a report: the ranking with intervals, cascade sizes of the riskiest nodes, and the graph by risk.

    Args:
        report: on `graph`, by `assess`.
        graph: at most 500 nodes of it are drawn, the riskiest.
        path: where the picture goes; its ending says in which format.
        top: lines of the ranking.
        settings: those that the report was made with, for the cascade sizes.

    Raises:
        ConfigurationError: C0001, matplotlib or networkx is not installed.
    """
    figure = _figure(15.0, 5.0)
    left, middle, right = figure.subplots(1, 3)
    _draw_ranking(left, report, top)
    _draw_sizes(middle, report, graph, settings)
    _draw_graph(right, report, graph)
    _save(figure, path)


def plot_losses(
    report: RiskReport, demand: float, path: str | Path, *, top: int = 20, what: str = "lines"
) -> None:
    """Draw a grid's report: lines or buses by P(cascade), and by the expected loss in MW, as `demand`.

    Raises:
        ConfigurationError: C0001, matplotlib is not installed.
    """
    figure = _figure(11.0, 5.0)
    left, right = figure.subplots(1, 2)
    _draw_ranking(left, report, top)
    left.set_title(f"{what.capitalize()} by risk, {100 * report.confidence:g} % intervals", fontsize=10)
    left.set_xlabel(f"P(share of demand lost > {report.theta:g})")
    worst = sorted(report.ranking(), key=lambda line: -(line.expected_share or 0.0))[:top]
    right.barh(range(len(worst)), [demand * (line.expected_share or 0.0) for line in worst], color="tab:blue")
    right.set_yticks(range(len(worst)), [str(line.node) for line in worst], fontsize=7)
    right.invert_yaxis()
    right.set(xlabel="expected loss, MW")
    right.set_title(f"{what.capitalize()} by expected loss of {demand:.0f} MW", fontsize=10)
    _save(figure, path)


def plot_calibration(calibration: Calibration, path: str | Path) -> None:
    """Draw a reliability diagram, with the interval of each bin and how many predictions it holds.

    Raises:
        ConfigurationError: C0001, matplotlib is not installed.
    """
    figure = _figure(5.0, 5.0)
    _draw_reliability(figure.subplots(), calibration)
    _save(figure, path)


def plot_forecasts(
    ends: NDArray[np.int64],
    ahead: CrossingReport,
    history: NDArray[np.float64],
    calibration: Calibration | None,
    path: str | Path,
) -> None:
    """Draw forecasts of a signal beside what came, and the reliability diagram of its crossings.

    Args:
        ends: how many samples of the history each forecast had seen.
        ahead: the forecasts.
        history: the signal, missing samples NaN.
        calibration: of the crossings, if any were asked for.
        path: where the picture goes; its ending says in which format.

    Raises:
        ConfigurationError: C0001, matplotlib is not installed.
    """
    figure = _figure(11.0, 4.5 if calibration is None else 5.0)
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1.0))
    _draw_ahead(left, ends, ahead, history)
    if calibration is None:
        right.set_axis_off()
        right.text(0.5, 0.5, "every window had crossed already", ha="center", color=_QUIET)
    else:
        _draw_reliability(right, calibration)
    _save(figure, path)


def _draw_ahead(
    axes: Axes, ends: NDArray[np.int64], ahead: CrossingReport, history: NDArray[np.float64]
) -> None:
    horizon, last = ahead.forecast.shape[1], len(history)
    first = max(int(ends[0]) - 2 * horizon, 0)
    unit, unit_s = _unit((last - first) * ahead.step_s)
    step = ahead.step_s / unit_s
    axes.plot((np.arange(first, last) + 1 - last) * step, history[first:], color="black", label="observed")
    for k, end in enumerate(ends.tolist()):
        t = (np.arange(end, end + horizon) + 1 - last) * step
        band = f"band, {100 * ahead.confidence:g} % of whole paths" if k == 0 else None
        axes.fill_between(t, ahead.low[k], ahead.high[k], color=_LINES[1][0], alpha=0.3, lw=0, label=band)
        forecast = f"forecast by {ahead.model}" if k == 0 else None
        axes.plot(t, ahead.forecast[k], color=_LINES[1][0], linestyle="--", label=forecast)
    axes.axhline(ahead.limit.value, color=_RISK, linewidth=1, label=f"limit: {ahead.limit.side} is bad")
    axes.axvline(0.0, color="0.7", linewidth=1)
    axes.set(xlabel=f"time from now, {unit}")
    axes.set_title(f"{_short(ahead.names[-1])}: each forecast, and what came", fontsize=10)
    axes.legend(fontsize=8)


def _unit(span_s: float) -> tuple[str, float]:
    """Give the largest unit of which a span holds several, and its seconds."""
    units = (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0))
    return next((one for one in units if span_s >= 4 * one[1]), ("s", 1.0))


def _draw_reliability(axes: Axes, calibration: Calibration) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for b in calibration.bins:
        axes.plot([b.predicted] * 2, [b.observed_low, b.observed_high], color=_RISK, linewidth=1.5)
        axes.plot(b.predicted, b.observed, "o", color=_RISK)
        beside = (5, 5) if b.observed < 0.95 else (5, -12)  # within the picture
        axes.annotate(str(b.count), (b.predicted, b.observed), beside, textcoords="offset points", fontsize=9)
    axes.text(0.99, 0.95, "as foretold", color=_QUIET, fontsize=9, ha="right", va="top", rotation=45)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed frequency")
    title = f"Reliability: Brier {calibration.brier:.3f}, skill {calibration.skill:.2f}"
    axes.set_title(f"{title}\neach bin: interval, number of predictions", fontsize=10)


def _save(figure: Figure, path: str | Path) -> None:
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, format=Path(path).suffix[1:])
        put_file(path, drawn.getvalue())
    except ValueError:
        raise RiskInputError(
            f"`{path}`: no such picture can be drawn", code="C0701", hint="end the name in .png, .svg or .pdf"
        ) from None
    except OSError as error:
        reason = (error.strerror or "cannot be written").lower()
        raise RiskInputError(f"`{path}`: {reason}", code="C0701") from None


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "matplotlib", "sim") from error
    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    return figure


def _draw_ranking(axes: Axes, report: RiskReport, top: int) -> None:
    lines = report.ranking(top)
    place = np.arange(len(lines))
    for i, line in enumerate(lines):
        axes.plot([line.low, line.high], [i, i], color=_RISK, linewidth=3, alpha=0.35)
    axes.plot([line.probability for line in lines], place, "o", color=_RISK, markersize=5)
    axes.set_yticks(place, [_short(line.node) for line in lines], fontsize=9)
    axes.invert_yaxis()
    if report.threshold is not None:
        axes.axvline(report.threshold, color=_QUIET, linestyle="--", linewidth=1)
    axes.set(xlim=(0, _span(report)), xlabel=f"P(share lost > {report.theta:g})")
    axes.grid(axis="x", color="0.9")
    axes.set_title(
        f"{len(lines)} of {len(report)} nodes, {100 * report.confidence:g} % intervals", fontsize=11
    )


def _span(report: RiskReport) -> float:
    """Give the end of a scale of probabilities: 1, or less where all lie far below."""
    ends = [float(report.high.max(initial=0.0)), report.threshold or 0.0]
    return min(1.0, max(1.25 * max(ends), 1e-3))


def _draw_sizes(axes: Axes, report: RiskReport, graph: Graph, settings: Settings | None) -> None:
    if not len(graph.nodes):
        return
    asked: dict[str, Any] = {"seed": report.seed, "model": report.model, "settings": settings}
    table = exceedance(graph, trials=min(report.trials, 1000), **asked)
    for line, (colour, dashes) in zip(report.ranking(len(_LINES)), _LINES, strict=False):
        sizes = table[:, graph.index(line.node)]
        axes.step(SHARES, sizes, where="post", color=colour, linestyle=dashes, label=_short(line.node))
    axes.axvline(report.theta, color=_QUIET, linewidth=1)
    axes.annotate(
        f"\u03b8 = {report.theta:g}", (report.theta, 0.95), (4, 0), textcoords="offset points", color=_QUIET
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="share lost x", ylabel="P(share lost > x)")
    axes.legend(fontsize=9, title="first to fail", title_fontsize=9)
    axes.set_title("Cascade sizes of the riskiest", fontsize=11)


def _draw_graph(axes: Axes, report: RiskReport, graph: Graph) -> None:
    try:
        import networkx as nx
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "networkx", "graphs") from error
    shown = [line.node for line in report.ranking(MOST_DRAWN)]
    drawn: Any = graph.to_networkx().subgraph(shown)
    where = nx.spring_layout(drawn, seed=1, weight=None)
    risk = [report.of(node).probability for node in drawn]
    pointed = graph.directed and drawn.number_of_edges() <= MOST_ARROWS  # each is a picture of its own
    heads: dict[str, Any] = {"arrowsize": 8, "node_size": 60} if pointed else {}
    nx.draw_networkx_edges(
        drawn, where, ax=axes, alpha=0.5 if pointed else 0.25, width=0.6, arrows=pointed, **heads
    )
    dots = nx.draw_networkx_nodes(
        drawn, where, ax=axes, node_color=risk, cmap="inferno_r", vmin=0.0, vmax=_span(report), node_size=60
    )
    dots.set_edgecolor(_QUIET)  # the lightest would be lost on the paper
    for node in shown[:MOST_NAMED]:
        x, y = where[node]
        axes.annotate(
            _short(node),
            (x, y),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )
    if risk:
        axes.figure.colorbar(dots, ax=axes, label="P(cascade)")
    axes.set_axis_off()
    axes.set_title(f"{len(shown)} of {len(graph.nodes)} nodes by risk", fontsize=11)


def _short(node: object) -> str:
    """Give a name as an axis has room for it; dollars are no formulas."""
    text = str(node).replace("$", r"\$")
    return text if len(text) <= 24 else f"{text[:23]}\u2026"
