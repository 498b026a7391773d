"""`ripstop policy show`: policies as formulas with units."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import print_json
from ripstop.cli.policy.arguments import add_policies, loaded
from ripstop.core.canonical import Json
from ripstop.policy import Policy
from ripstop.policy.lower import lower
from ripstop.policy.printer import printed
from ripstop.policy.show import formula, show

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy show policies/payload_limit.json
  ripstop policy show policies/drones
  ripstop policy show policies/payload_limit.json --rule > payload_limit.rule
  ripstop policy show policies/payload_limit.json --ir

With --rule only the rule is printed, in the readable form that a `.rule` file holds. With --ir the typed
expressions that engines start from: each once, in normal form, the atoms of the evidence numbered.

exit codes: 0 fine, 1 a file does not load, 2 usage
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "show", "print policies as formulas with units", _EPILOG)
    add_policies(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--rule", action="store_true", help="print the rule only")
    form.add_argument("--ir", action="store_true", help="print the typed expressions that engines start from")
    add_json(parser, "policies: [id, digest, formula, when, document]")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print each policy."""
    policies = loaded(args)
    if args.json:
        print_json({"policies": [_record(policy) for policy in policies]})
        return 0
    shown = _rule if args.rule else _ir if args.ir else show
    print("\n\n".join(map(shown, policies)))
    return 0


def _rule(policy: Policy) -> str:
    return "\n".join(formula(policy.program.rule))


def _ir(policy: Policy) -> str:
    return f"{policy.id}\n{printed(lower(policy.program))}".rstrip()


def _record(policy: Policy) -> dict[str, Json]:
    return {
        "id": policy.id,
        "digest": policy.digest,
        "formula": " ".join(line.strip() for line in formula(policy.program.rule)),
        "when": [" ".join(line.strip() for line in formula(when)) for when in policy.program.whens],
        "document": policy.to_json(),
    }
