"""`ripstop demo`: run a demonstration and write its report."""

from __future__ import annotations

import argparse
import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_verbs, whole

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.lab.demo import Options, Progress
    from ripstop.lab.report import Report

_EPILOG = """examples:
  ripstop demo drones
  ripstop demo drones --seed 7 --seeds 7,8,9
  ripstop demo drones --agents 20 --no-live
  ripstop demo drones --arm ungoverned --arm both --seeds 100-109 --no-live
  ripstop demo drones --json - --out runs/today

The live part plays 27 seconds around the fault in real time over an embedded NATS server; the outcome part
plays the whole shift in virtual time, arm by arm. Record, report.json and report.html are left in runs/<id>.

exit codes: 0 done, 1 the record does not verify, 2 usage or configuration, 130 interrupted
"""
_ARMS = ("no-fault", "ungoverned", "local", "global", "both")
_SEED = whole(0, (1 << 63) - 1)
_MOST_SEEDS = 1000
_STAGES = {
    "prepare": "Shift up to the window",
    "live": "Live window",
    "verify": "Verify the record",
    "outcome": "Shift in five arms",
    "report": "Report",
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    verbs = add_verbs(add_command(subparsers, "demo", "run a demonstration and write its report", _EPILOG))
    drones = add_command(
        verbs,
        "drones",
        "150 delivery drones, one false battery gauge",
        _EPILOG,
        "150 delivery drones over a city; one battery gauge starts to report false low charge.",
    )
    drones.add_argument(
        "--agents", type=whole(1, 10_000), default=150, metavar="N", help="drones (default 150)"
    )
    drones.add_argument(
        "--seed", type=_SEED, metavar="N", help="of the live part (default: the first of --seeds)"
    )
    drones.add_argument(
        "--seeds", type=_seeds, metavar="LIST", help="of the outcome, as 7,8,9 or 100-104 (default 100-102)"
    )
    drones.add_argument(
        "--arm",
        action="append",
        choices=_ARMS,
        metavar="ARM",
        help=f"an arm of the outcome: {', '.join(_ARMS)}; repeat for more (default: all)",
    )
    drones.add_argument(
        "--live", action=argparse.BooleanOptionalAction, default=True, help="play the window in real time"
    )
    drones.add_argument(
        "--outcome", action=argparse.BooleanOptionalAction, default=True, help="play the shift arm by arm"
    )
    drones.add_argument(
        "--city", choices=("wide", "compact"), default="wide", help="which city (default wide)"
    )
    drones.add_argument(
        "--json", metavar="FILE", help="write the report as JSON there too (- for standard output)"
    )
    drones.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default runs/<time>-<id>)")
    drones.set_defaults(func=run)


def _seeds(text: str) -> tuple[int, ...]:
    """Read `7,8,9` or `100-104`, or both mixed."""
    form = f"expected seeds as 7,8,9 or 100-104, at most {_MOST_SEEDS} of them, got `{text}`"
    if not all(re.fullmatch(r"[0-9]+(-[0-9]+)?", part) for part in text.split(",")):
        raise argparse.ArgumentTypeError(form)
    found: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        low = _SEED(first)
        high = _SEED(last) if last else low
        if high < low or high - low >= _MOST_SEEDS:
            raise argparse.ArgumentTypeError(form)
        found.update(dict.fromkeys(range(low, high + 1)))
    if len(found) > _MOST_SEEDS:
        raise argparse.ArgumentTypeError(form)
    return tuple(found)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration of the drones."""
    from ripstop.core.errors import ConfigurationError, missing_extra
    from ripstop.lab.demo import run_demo

    if not (args.live or args.outcome):
        raise ConfigurationError(
            "nothing is left to demonstrate", code="C0412", hint="drop one of the --no- options"
        )
    # said now, not after the run
    if args.json and not Path(args.json).absolute().parent.is_dir():
        raise ConfigurationError(f"there is no folder for `{args.json}`", code="C0413")
    for package in ("jinja2", "matplotlib"):
        if find_spec(package) is None:
            raise missing_extra(package, "demo")
    _quieten()
    folder = args.out or Path("runs") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with _shown(to_stderr=args.json == "-") as progress:
        report = run_demo(_options(args), folder, progress, " ".join(["ripstop", *sys.argv[1:]]))
    _write(report, folder, args.json)
    return 0 if report.live is None or report.live.record.verified else 1


def _options(args: argparse.Namespace) -> Options:
    from ripstop.lab.arms import Arm
    from ripstop.lab.demo import Options

    defaults = Options()
    seeds = args.seeds or ((args.seed,) if args.seed is not None and not args.live else defaults.seeds)
    arms = tuple(arm for arm in Arm if not args.arm or arm.value.replace(" ", "-") in args.arm)
    return replace(
        defaults,
        agents=args.agents,
        seed=args.seed if args.seed is not None else seeds[0],
        seeds=seeds if args.outcome else (),
        arms=arms,
        live=args.live,
        city=args.city,
    )


def _quieten() -> None:
    """Keep the parts' own logs off the progress display: warnings and worse only."""
    import structlog

    logging.basicConfig(level=logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@contextmanager
def _shown(*, to_stderr: bool) -> Iterator[Progress]:
    """Show how far each stage has come."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=to_stderr)
    columns = (
        TextColumn("{task.description:<24}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("{task.fields[text]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, share: float, text: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(_STAGES[stage], total=1.0, text=text)
                if not console.is_terminal:
                    console.print(f"{_STAGES[stage]} ...")
            bar.update(tasks[stage], completed=share, text=text if share < 1.0 else "")

        yield tell


def _write(report: Report, folder: Path, to_json: str | None) -> None:
    from rich.console import Console

    from ripstop.lab.report import tables

    console = Console(stderr=to_json == "-")
    tables.show(report, console)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    if report.live is not None:
        console.print(f"verify: ripstop audit verify {folder}", soft_wrap=True)
    if to_json == "-":
        print(json.dumps(report.to_json(), allow_nan=False))
    elif to_json:
        Path(to_json).write_text(report.write())
