"""`ripstop risk stability`: damping and headroom of a network that balances supply and demand."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, source
from ripstop.cli.output import counted, print_json, print_notes, print_table

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.risk import Identified, StabilityReport, SwingModel

_EPILOG = """examples:
  ripstop risk stability examples/grid.json
  ripstop risk stability examples/grid.json --direction south=1 --damping 0.05 --headroom 0.2 --json

A file is {"buses": [{"id": "a", "inertia": 0.1, "damping": 0.05, "power": 1, "reserve": 0.5}, ...],
"lines": [["a", "b", 2.0], ...]}; without inertia a bus is a load. With {"telemetry": {"t_s": [...],
"power": {"a": [...]}, "frequency_hz": {"a": [...]}, "angle_rad": {"a": [...]}}} the model is identified, and
the figures have intervals.

exit codes: 0 fine, 1 not stable or not known, or below --damping or --headroom, 2 usage
"""


def add_parser(verbs: Subparsers) -> None:
    """Add the verb to `ripstop risk`."""
    parser = add_command(
        verbs,
        "stability",
        "damping and headroom of a grid, from a model or from telemetry",
        _EPILOG,
        "Give the least damping ratio and how much more load a network would bear.",
    )
    parser.add_argument(
        "file", type=source, metavar="FILE", help="a swing model or telemetry (.json); - for stdin"
    )
    parser.add_argument(
        "--direction", nargs="+", metavar="BUS=SHARE", help="where load grows (default: as the loads are)"
    )
    parser.add_argument("--damping", type=float, default=0.03, help="least damping ratio (default 0.03)")
    parser.add_argument("--headroom", type=float, default=0.0, help="least headroom, p.u. (default 0)")
    parser.add_argument("--confidence", type=float, default=0.95, help="of each interval (default 0.95)")
    parser.add_argument("--draws", type=int, default=200, help="models drawn for intervals (default 200)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same figures (default 0)"
    )
    add_json(parser, "is_stable, damping, headroom, limit, modes, notes, ... (each with _low and _high)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Read or identify the model, and print its margin."""
    from ripstop.risk import Identified, MarginTrigger, margin, read_swing
    from ripstop.risk.settings import check_share

    trigger = MarginTrigger(args.damping, args.damping, args.headroom, args.headroom)
    check_share("confidence", args.confidence, "C0715", ends=False)
    found = read_swing(args.file, args.confidence)
    model = found.model if isinstance(found, Identified) else found
    direction = None if args.direction is None else _direction(model, args.direction)
    report = margin(found, direction, draws=args.draws, seed=args.seed)
    if args.json:
        identified = _identified(found) if isinstance(found, Identified) else None
        print_json(report.to_json() | {"identified": identified})
    else:
        _print_report(report)
    return int(trigger.is_active(report, was_active=False))


def _direction(model: SwingModel, words: list[str]) -> list[float]:
    from ripstop.risk import RiskInputError

    names = {str(bus): i for i, bus in enumerate(model.buses)}
    direction = [0.0] * len(names)
    for word in words:
        bus, _, share = word.rpartition("=")
        try:
            direction[names[bus]] = float(share)
        except (KeyError, ValueError):
            raise RiskInputError(
                f"`{word}` names no bus and share", code="C0742", hint="write BUS=SHARE, as in south=1"
            ) from None
    return direction


def _identified(found: Identified) -> dict[str, object]:
    model = found.model
    values = {"inertia": model.inertia, "damping": model.damping, "synchronising": found.synchronising}
    lines = [[model.buses[i], model.buses[j]] for i, j in zip(model.source, model.target, strict=True)]
    bounds = {
        name: {"value": value.tolist(), "low": found.low[name].tolist(), "high": found.high[name].tolist()}
        for name, value in values.items()
    }
    return {"buses": list(model.buses), "lines": lines, "error_correlation": found.correlation, **bounds}


def _print_report(report: StabilityReport) -> None:
    known = not math.isnan(report.damping)
    state = "stable" if report.is_stable else "NOT stable" if known else "NOT known to be stable"
    print(f"{state}; {counted(report.islands, 'island')}")
    header = ["figure", "value"]
    rows = [
        ["least damping ratio", f"{report.damping:.4f}" if known else "not known"],
        ["headroom, p.u.", f"{report.headroom:.4f}"],
    ]
    if report.draws:
        header.append(f"{100 * report.confidence:g} % interval")
        rows[0].append(f"{report.damping_low:.4f} .. {report.damping_high:.4f}" if known else "-")
        rows[1].append(f"{report.headroom_low:.4f} .. {report.headroom_high:.4f}")
    print_table(f"margin, limited by {report.limit}", header, rows)
    swings = [[str(i), f"{m.frequency_hz:.4f}", f"{m.damping:.4f}"] for i, m in enumerate(report.modes(), 1)]
    if swings:
        print_table("swings", ["#", "frequency, Hz", "damping ratio"], swings)
    print_notes(report.notes)
