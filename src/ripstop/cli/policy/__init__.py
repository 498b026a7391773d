"""`ripstop policy`: check, read, format, explain, compile and measure policies; one module a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_verbs
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

`ripstop policy COMMAND --help` has more of each. Exit codes: 0 fine or allow, 1 a finding or anything but
allow, 2 usage.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = add_command(
        subparsers, "policy", "check, read, format, explain, compile and measure policies", _EPILOG
    )
    commands = add_verbs(parser)
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
