"""`ripstop policy eval`: a rule's verdict, or a decision about an action."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, existing
from ripstop.cli.output import print_json
from ripstop.cli.policy.arguments import add_situation, add_vocabulary, read_situation
from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Verdict
from ripstop.policy import Policy, load
from ripstop.policy.bundle import shown_range
from ripstop.policy.text_printer import text_of

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy eval policies/payload_limit.json --context '{"battery_percent": 25, "payload_kg": 0.5}'
  ripstop policy eval policies/drones/admission.yaml --action accept_task \\
      --context '{"margin_after_wh": 4, "reserve_wh": 5}' --json
  ripstop policy eval policies/drones/payload-limit.yaml --action take_off \\
      --context @examples/context.json --trace examples/observed.jsonl

Without --action the rule alone is evaluated: allow, deny or unknown. With it the whole policy is: ranges,
limits, what UNKNOWN means, what was observed.

exit codes: 0 allow, 1 anything else, 2 usage
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        commands, "eval", "evaluate a policy's rule, or decide about an action, on a context", _EPILOG
    )
    parser.add_argument("file", type=existing, metavar="FILE", help="the policy; - for stdin")
    parser.add_argument("--action", metavar="NAME", help="decide about this action")
    add_situation(parser)
    add_vocabulary(parser)
    add_json(parser, "policy, verdict; with --action: action, verdict, limits, reasons, evidence, ...")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate a policy and print the outcome."""
    from ripstop.backends import compile as compile_policies

    policy = load(args.file, args.vocabulary)
    given = read_situation(args)
    compiled = compile_policies(policy)
    if args.action is None:
        verdict = compiled.verdict(given.context, given.t_us)
        record: dict[str, Json] = {"policy": policy.id, "verdict": verdict.word}
        if args.json:
            print_json(record)
        else:
            print(verdict.word)
        if verdict is Verdict.UNKNOWN and not args.json:
            print("`ripstop policy explain` tells what is missing", file=sys.stderr)
        if policy.limits or policy.budgets:
            action = policy.guards[0] if policy.guards else "ACTION"
            print(f"this is the rule alone; --action {action} counts limits and budgets too", file=sys.stderr)
        return 0 if verdict else 1
    decision = compiled.decide(args.action, given.context, given.t_us, given.observed(compiled))
    if args.json:
        print_json(decision.to_json())
    else:
        _print_decision(policy, decision)
    return 0 if decision else 1


def _print_decision(policy: Policy, decision: Decision) -> None:
    print(f"{decision.action}: {decision.verdict.word}")
    for limit in decision.limits:
        print(f"  limit {limit.parameter}: {shown_range(limit)}")
    for reason in decision.reasons:
        print(f"  {reason.policy or 'vocabulary'}: {reason.code}, {reason.text}")
    for evidence in decision.evidence:
        for index, atom in enumerate(policy.program.atoms):
            bit = 1 << index
            outcome = ("true" if evidence.true & bit else "false") if evidence.read & bit else "not reached"
            print(f"  {outcome:>11}  {text_of(atom, units=True)}")
