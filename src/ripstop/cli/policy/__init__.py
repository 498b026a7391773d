"""`ripstop policy`: check, read, format, explain, compile and measure policies; one module a command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ripstop.cli.policy import (
    bounding,
    checking,
    compiling,
    evaluation,
    explaining,
    formatting,
    schemas,
    showing,
    timing,
)

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy check policies/payload_limit.json
  ripstop policy show policies/drones
  ripstop policy eval policies/payload_limit.json --context '{"battery_percent": 25, "payload_kg": 0.5}'
  ripstop policy explain policies/payload_limit.json --context '{"battery_percent": 25, "payload_kg": 2}'
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "policy",
        help="check policy files, and evaluate them on a context",
        description="Check, read, format, explain, compile and measure policies.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        checking,
        evaluation,
        explaining,
        showing,
        formatting,
        bounding,
        compiling,
        timing,
        schemas,
    ):
        module.add_parser(commands)
