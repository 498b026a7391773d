"""`ripstop policy bounds`: what policies can cost at most, known before they run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import print_json, print_table
from ripstop.cli.policy.arguments import add_policies, loaded
from ripstop.policy.bounds import Bounds, bounds

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy bounds policies/drones
  ripstop policy bounds policies/payload_limit.json --json

`operations` and `on a sample` are operator applications in the worst case, with lists unrolled to their
declared size; `-` where a list has none. Memory does not depend on how many samples there are.

exit codes: 0 fine, 1 a file does not load, 2 usage
"""
_HEADER = ("policy", "memory", "window", "operations", "on a sample", "atoms")


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "bounds", "tell what policies can cost at most", _EPILOG)
    add_policies(parser)
    add_json(parser, "policies: [id, memory_bytes, window_s, operations, memory_operations, atoms]")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the bounds of each policy."""
    found = [(policy.id, bounds(policy)) for policy in loaded(args)]
    if args.json:
        print_json({"policies": [{"id": name, **each.to_json()} for name, each in found]})
        return 0
    print_table("", _HEADER, [_row(name, each) for name, each in found])
    return 0


def _row(name: str, each: Bounds) -> tuple[str, ...]:
    counts = ("-" if count is None else str(count) for count in (each.operations, each.memory_operations))
    window = f"{each.window_s:g} s" if each.window_s else "-"
    return (name, f"{each.memory_bytes} B", window, *counts, str(each.atoms))
