"""`ripstop warmup`: compile the risk kernels ahead of their first use."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from ripstop.core.clock import SystemClock

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop warmup
  ripstop warmup --json

The machine code is kept on disk beside the package (or in Numba's cache folder where that is read-only), so
this pays once per installation.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "warmup",
        help="compile the risk kernels ahead of their first use",
        description="Compile the risk kernels and keep the machine code on disk.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Compile, and say how long that took."""
    from ripstop.control.telemetry.insertion import warmup

    clock = SystemClock()
    start_us = clock.now().mono_us
    warmup()
    seconds = (clock.now().mono_us - start_us) / 1e6
    if args.json:
        print(json.dumps({"seconds": round(seconds, 3)}))
    else:
        print(f"risk kernels ready after {seconds:.1f} s")
    return 0
