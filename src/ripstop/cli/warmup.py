"""`ripstop warmup`: compile the risk kernels ahead of their first use."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import print_json
from ripstop.core.clock import SystemClock

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop warmup
  ripstop warmup --json

The machine code is kept on disk beside the package (or in Numba's cache folder where that is read-only), so
this pays once per installation.

exit codes: 0 fine, 2 usage
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = add_command(subparsers, "warmup", "compile the risk kernels ahead of their first use", _EPILOG)
    add_json(parser, "seconds")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Compile, and say how long that took."""
    from ripstop.control.telemetry.insertion import warmup

    clock = SystemClock()
    start_us = clock.now().mono_us
    if not args.json:
        print("preparing the risk kernels: a minute or more the first time, seconds later", flush=True)
    warmup()
    seconds = (clock.now().mono_us - start_us) / 1e6
    if args.json:
        print_json({"seconds": round(seconds, 3)})
    else:
        print(f"risk kernels ready after {seconds:.1f} s")
    return 0
