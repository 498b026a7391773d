"""`ripstop risk grid`: which outage, of a line or of a bus, loses how much of a power grid's demand."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, add_top, source
from ripstop.cli.output import counted, print_json, print_notes, print_table, printable

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.risk import FlowGrid, RiskReport

_EPILOG = """examples:
  ripstop risk grid examples/power.json
  ripstop risk grid examples/power_lines.csv --buses examples/power_buses.csv --theta 0.1 --json
  ripstop risk grid examples/power.json --alpha 0.5 --floor 50 --top 3
  ripstop risk grid examples/power.json --threshold 0.2 --plot grid.png
  ripstop risk grid examples/power.json --why north-east
  ripstop risk grid examples/power.json --of buses

A grid is {"buses": [{"id": "north", "generation_mw": 80}, {"id": "south", "demand_mw": 75}], "lines":
[{"from": "north", "to": "south", "reactance": 0.1, "limit_mw": 100}]}, two tables with these words in their
headers, or a MATPOWER case. Each world draws demands around what is given, half of their variance common to
all; a line above its limit trips, and so on; an island sheds what it cannot feed.

exit codes: 0 fine, 1 a line or bus lies above --threshold, 2 usage
"""


def add_parser(verbs: Subparsers) -> None:
    """Add the verb to `ripstop risk`."""
    parser = add_command(
        verbs,
        "grid",
        "rank a power grid's lines, or buses, by the demand that their outage loses",
        _EPILOG,
        "Play the outage of every line, or of every bus, and all that trips after it, by DC power flow.",
    )
    parser.add_argument(
        "grid", type=source, metavar="GRID", help="the grid (.json, .m, .mat) or its lines (.csv)"
    )
    parser.add_argument("--buses", metavar="FILE", help="the buses (.csv), where GRID is a table of lines")
    parser.add_argument(
        "--of", choices=("lines", "buses"), default="lines", help="what trips first (default lines)"
    )
    parser.add_argument("--alpha", type=float, help="set all limits to 1 + ALPHA times the flow instead")
    parser.add_argument(
        "--floor", type=float, default=0.0, metavar="MW", help="with --alpha: least limit (default 0)"
    )
    parser.add_argument(
        "--theta", type=float, default=0.05, help="share of demand lost that counts (default 0.05)"
    )
    parser.add_argument("--trials", type=int, default=300, help="sampled worlds (default 300)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same figures (default 0)"
    )
    parser.add_argument("--demand-spread", type=float, default=0.12, help="demands' deviation (default 0.12)")
    parser.add_argument("--spread", type=float, default=0.0, help="limits' deviation (default 0)")
    parser.add_argument("--confidence", type=float, default=0.95, help="of each interval (default 0.95)")
    parser.add_argument(
        "--threshold", type=float, help="decide each against this probability, and stop once settled"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="threads; the result stays the same (default 1)"
    )
    parser.add_argument("--why", metavar="NAME", help="play one outage at the given point instead")
    parser.add_argument("--plot", metavar="FILE", help="draw ranking and expected losses (png, svg, pdf)")
    add_top(parser, "lines or buses")
    add_json(parser, "nodes: [node, probability, low, high, expected_share, ...], demand_mw, theta, ...")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Read the grid, and print the ranking."""
    from ripstop.risk import RiskInputError, Settings, assess_buses, assess_flow, read_grid

    grid = read_grid(args.grid, args.buses).balanced()
    if args.alpha is not None:
        if not args.alpha >= 0.0 or not args.floor >= 0.0:
            raise RiskInputError("`--alpha` and `--floor` must be 0 or more", code="C0715")
        grid = grid.with_capacity(args.alpha, args.floor)
    if args.why is not None:
        return _explain(grid, args)
    settings = Settings(
        confidence=args.confidence, threshold=args.threshold, workers=args.workers, spread=args.spread
    )
    report = (assess_buses if args.of == "buses" else assess_flow)(
        grid,
        theta=args.theta,
        trials=args.trials,
        seed=args.seed,
        demand_spread=args.demand_spread,
        settings=settings,
    )
    if args.plot:
        from ripstop.risk.plots import plot_losses

        plot_losses(report, float(grid.demand.sum()), args.plot, what=args.of)
    if args.json:
        print_json(report.to_json() | {"demand_mw": float(grid.demand.sum())})
    else:
        _print_ranking(report, grid, args)
    return 1 if any(s.value == "above" for s in report.standing or ()) else 0


def _print_ranking(report: RiskReport, grid: FlowGrid, args: argparse.Namespace) -> None:
    total = float(grid.demand.sum())
    lines = sorted(report.ranking(), key=lambda line: -(line.expected_share or 0.0))[: args.top or None]
    percent = f"{100 * report.confidence:g} %"
    one = "bus" if args.of == "buses" else "line"
    header = ["#", one, "expected loss, MW", f"P(share > {report.theta:g})", f"{percent} interval"]
    names, facts = (grid.buses, _of_buses(grid)) if one == "bus" else (grid.lines, _of_lines(grid))
    header += facts
    values = dict(zip(names, zip(*facts.values(), strict=True), strict=True))
    rows = [
        [
            str(i),
            printable(line.node),
            f"{total * (line.expected_share or 0.0):.2f}",
            f"{line.probability:.4f}",
            f"{line.low:.4f} .. {line.high:.4f}",
            *values[line.node],
        ]
        for i, line in enumerate(lines, 1)
    ]
    if report.standing is not None:
        header.append(f"against {report.threshold:g}")
        for row, line in zip(rows, lines, strict=True):
            row.append("" if line.standing is None else line.standing.value)
    size = f"{len(grid.buses)} buses, {counted(len(grid.lines), 'line')}, {total:.1f} MW of demand, "
    print_table(f"{size}{report.trials} trials, seed {report.seed}", header, rows)
    notes = [*report.notes, *_doubts(grid)]
    print_notes(notes, len(lines), len(report))


def _of_lines(grid: FlowGrid) -> dict[str, list[str]]:
    ends = [[printable(grid.buses[v]) for v in side.tolist()] for side in (grid.source, grid.target)]
    flow = [abs(flow) for flow in grid.flows().tolist()]
    load = {"flow, MW": _rounded(flow), "limit, MW": _rounded(grid.capacity.tolist())}
    return dict(zip(("from", "to"), ends, strict=True)) | load


def _of_buses(grid: FlowGrid) -> dict[str, list[str]]:
    return {
        "demand, MW": _rounded(grid.demand.tolist()),
        "generation, MW": _rounded(grid.generation.tolist()),
    }


def _rounded(values: list[float]) -> list[str]:
    return [f"{value:.1f}" for value in values]


def _doubts(grid: FlowGrid) -> list[str]:
    import numpy as np

    notes = []
    unlimited = int(np.isinf(grid.capacity).sum())
    if unlimited:
        notes.append(f"{unlimited} of {len(grid.lines)} lines have no limit, so they never trip: see --alpha")
    over = [grid.lines[k] for k in np.flatnonzero(np.abs(grid.flows()) > grid.capacity + 1e-9)]
    if over:
        notes.append(f"{len(over)} line(s) are above their limit with all lines up, as {printable(over[0])}")
    return notes


def _explain(grid: FlowGrid, args: argparse.Namespace) -> int:
    from ripstop.risk import RiskInputError, play_bus, play_outage

    of_bus = args.of == "buses"
    place = {str(name): k for k, name in enumerate(grid.buses if of_bus else grid.lines)}
    if args.why not in place:
        what, hint = ("bus", "") if of_bus else ("line", "a bus goes with `--of buses`")
        raise RiskInputError(f"there is no {what} `{args.why}` in the grid", code="C0702", hint=hint)
    outage = (play_bus if of_bus else play_outage)(grid, place[args.why])
    down = [str(grid.lines[k]) for k in outage.down]
    share = outage.lost_mw / max(float(grid.demand.sum()), 1e-300)
    if args.json:
        print_json(
            {"bus" if of_bus else "line": args.why, "lost_mw": outage.lost_mw, "share": share, "down": down}
        )
        return 0
    lost = f"{outage.lost_mw:.2f} MW lost ({100 * share:.1f} %)"
    print(f"{printable(args.why)}: {lost} in {counted(outage.rounds, 'round')}")
    for name in down if of_bus else down[1:]:
        print(f"  then {printable(name)}")
    return 0
