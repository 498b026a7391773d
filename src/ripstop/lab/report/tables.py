"""The report in a terminal: the eight steps, the arms, and a summary line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ripstop.lab.report import findings, wording
from ripstop.lab.report.findings import State
from ripstop.lab.report.schema import ArmSummary, Interval, Live, Outcome, Report, Step

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# Columns of the terminal from which on an interval stands beside its mean, and a table has room at all
# (below, what would be a row is a paragraph); the figures, and from how many columns on each has room.
_WIDE: Final = 140
_NARROW: Final = 72
_FIGURES: Final = {
    "Grounded": _NARROW, "Cascaded": _NARROW, "Deliveries": _NARROW, "Vetoes": _NARROW, "Restricted": 84,
    "Speed": 100,
}  # fmt: skip
_STYLES: Final = {
    State.MET: "green",
    State.MISSED: "bold red",
    State.UNREACHED: "yellow",
    State.OPEN: "yellow",
    State.PLAIN: "",
}


def _table(title: str, *, plain: bool) -> Table:
    return Table(
        title=Text(title),  # words from the wire are no markup
        title_justify="left",
        title_style="bold",
        box=box.ASCII if plain else box.ROUNDED,
        show_lines=False,
        pad_edge=not plain,
        expand=False,
    )


def steps_table(live: Live, *, plain: bool = False) -> Table:
    """Make the table of the eight steps: when each came after the fault, or why it did not."""
    title = f"The loop, live: {live.agents} agents, seed {live.seed}, faulty {wording.clean(live.faulty, 40)}"
    table = _table(title, plain=plain)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("Step", min_width=12)
    table.add_column("After fault", justify="right", no_wrap=True)
    table.add_column("What happened", overflow="fold", ratio=None)
    for step in live.steps:
        table.add_row(*_step_row(step))
    return table


def _step_row(step: Step) -> tuple[RenderableType, ...]:
    name = Text(wording.clean(step.name, 60))
    if step.reached:
        return (
            Text(f"✓ {step.number}", style="green"),
            name,
            Text(wording.seconds(step.wall_s)),
            Text(wording.clean(step.detail)),
        )
    why = wording.clean(step.reason) or "no reason was recorded"
    return (
        Text(f"– {step.number}", style="yellow"),
        name,
        Text("not reached", style="yellow"),
        Text(why, style="yellow"),
    )


def arms_table(outcome: Outcome, *, width: int = _WIDE, plain: bool = False) -> Table:
    """Make the table of the arms: means over the seeds with their intervals."""
    seeds = wording.plural(len(outcome.seeds), "seed")
    table = _table(f"The shift, arm by arm: mean and interval over {seeds}", plain=plain)
    table.add_column("Arm", no_wrap=True, min_width=10)
    for name, least in _FIGURES.items():
        if width >= least:
            table.add_column(name, justify="right", no_wrap=True)
    for arm in outcome.arms:
        table.add_row(*_arm_row(arm, width)[: len(table.columns)])
    return table


def _arm_row(arm: ArmSummary, width: int) -> tuple[Text, ...]:
    between = "  " if width >= _WIDE else "\n"
    bad = findings.collapses(arm)
    return (
        Text(arm.arm),
        _figure(wording.percent(arm.grounded_share.mean), arm.grounded_share, between, scale=0.01),
        Text(f"{bad} of {len(arm.runs)}", style="bold red" if bad else ""),
        _figure(wording.count(arm.deliveries.mean), arm.deliveries, between),
        _figure(wording.count(arm.vetoes.mean), arm.vetoes, between),
        _figure(wording.drone_time(arm.restricted_s.mean), arm.restricted_s, between, scale=60.0),
        _figure(wording.times(arm.speed.mean), arm.speed, between),
    )


def _figure(mean: str, interval: Interval, between: str, scale: float = 1.0) -> Text:
    text = Text(mean, style="bold")
    if interval.low != interval.high:
        text.append(f"{between}{wording.spread(interval, scale)}", style="not bold dim")
    return text


def _paragraphs(table: Table) -> Group:
    """Lay a table out for a narrow terminal: a paragraph a row, which begins with its first named cell."""
    heads = [str(column.header) for column in table.columns]
    named = next(at for at, head in enumerate(heads) if head)
    parts: list[RenderableType] = [Text(str(table.title), style="bold")]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        first, rest = row[: named + 1], zip(heads[named + 1 :], row[named + 1 :], strict=True)
        parts.append(Text(" ").join(cell for cell in first if isinstance(cell, Text)))
        for head, cell in rest:
            if isinstance(cell, Text) and cell.plain:
                line = Text.assemble((f"{head}: " if head else "", "dim"), cell)
                parts.append(Padding(line, (0, 0, 0, 4)))
    return Group(*parts)


def figures_table(report: Report, *, plain: bool = False) -> Table:
    """Make the table of the key figures against their bars."""
    table = _table("Key figures", plain=plain)
    table.add_column("")
    table.add_column("Figure")
    table.add_column("Value", justify="right")
    table.add_column("Bar")
    table.add_column("", overflow="fold")
    for figure in findings.key_figures(report):
        style = _STYLES[figure.state]
        table.add_row(
            Text(figure.mark, style=style),
            Text(figure.label),
            Text(figure.value, style=style),
            Text(f"{figure.bar}: {figure.verdict}" if figure.bar else ""),
            Text(wording.clean(figure.note), style="dim"),
        )
    return table


def summary(report: Report) -> str:
    """Give one line: what happened, and how many of the bars were met."""
    figures = [figure for figure in findings.key_figures(report) if figure.bar]
    met = sum(figure.state is State.MET for figure in figures)
    bars = f" Bars met: {met} of {len(figures)}." if figures else ""
    missed = [figure.label.lower() for figure in figures if figure.state is State.MISSED]
    worst = f" Missed: {', '.join(missed)}." if missed else ""
    return f"{findings.headline(report)}{bars}{worst}"


def show(report: Report, console: Console) -> None:
    """Print all tables and the summary; without colours and box drawing where the console is no terminal."""
    plain = not console.is_terminal
    is_narrow = console.width < _NARROW
    if report.live is not None:
        table = steps_table(report.live, plain=plain)
        console.print(_paragraphs(table) if is_narrow else table)
    if report.outcome is not None:
        table = arms_table(report.outcome, width=_WIDE if is_narrow else console.width, plain=plain)
        console.print(_paragraphs(table) if is_narrow else table)
        for sentence in report.outcome.harm:
            console.print(Text(f"Harm: {wording.clean(sentence)}"))
    table = figures_table(report, plain=plain)
    console.print(_paragraphs(table) if is_narrow else table)
    console.print(Text(summary(report), style="bold"))
