"""`ripstop policy explain`: why an action was denied, and the smallest change that would allow it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import print_json
from ripstop.cli.policy.arguments import add_policies, add_situation, loaded, read_situation
from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Verdict
from ripstop.core.errors import ConfigurationError
from ripstop.policy import Policy
from ripstop.policy.explain import Explanation, explain
from ripstop.policy.explain_search import Change, Question

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy explain policies/payload_limit.json --context '{"battery_percent": 25, "payload_kg": 2}'
  ripstop policy explain policies/drones --action accept_task --context @examples/context.json

Every change that is proposed has been evaluated: with it the decision is allow. Signals inside temporal
operators are what was observed, and are not changed; nor are estimates, lists, and what was consumed.

exit codes: 0 allow, 1 anything else, 2 usage
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "explain",
        "tell why an action is denied, and the smallest change that would allow it",
        _EPILOG,
    )
    add_policies(parser)
    parser.add_argument("--action", metavar="NAME", help="the action (default: the only one that is guarded)")
    add_situation(parser)
    add_json(parser, "decision, reasons: [policy, code, text, conditions], proposals")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Decide, explain the decision, and print both."""
    from ripstop.backends import compile as compile_policies

    policies = loaded(args)
    action = args.action or _only_action(policies)
    given = read_situation(args)
    compiled = compile_policies(policies)
    state = given.observed(compiled)

    def decide(changed: Mapping[str, Json]) -> Decision:
        return compiled.decide(action, changed, given.t_us, state)

    values = {sample.signal: sample.value for sample in decide(given.context).inputs}
    guarding = compiled.bundle.guarding(action)
    explanation = explain(Question(action, guarding, compiled.vocabulary, given.context, values, decide))
    if args.json:
        print_json(_record(explanation))
    else:
        _print(explanation)
    return 0 if explanation.decision else 1


def _only_action(policies: Sequence[Policy]) -> str:
    """Give the action that the policies guard, where there is but one.

    Raises:
        ConfigurationError: C0007, there are several.
    """
    if all(policy.is_bare for policy in policies):
        return "action"
    guarded = sorted({action for policy in policies for action in policy.guards or ("", " ")})
    if len(guarded) != 1:
        known = ", ".join(name for name in guarded if name.strip()) or "one that the vocabulary declares"
        raise ConfigurationError(
            "which action is to be explained is not clear", code="C0007", hint=f"--action {known}"
        )
    return guarded[0]


def _record(explanation: Explanation) -> dict[str, Json]:
    return {
        "decision": explanation.decision.to_json(),
        "reasons": [why.to_json() for why in explanation.reasons],
        "proposals": [[change.to_json() for change in changes] for changes in explanation.proposals],
    }


def _print(explanation: Explanation) -> None:
    decision = explanation.decision
    print(f"{decision.action}: {decision.verdict.word}")
    for why in dict.fromkeys(explanation.reasons):
        print(f"  {why.policy or 'vocabulary'}: {why.code}, {why.text}")
        for condition in why.conditions:
            print(f"    {condition}")
    if decision.verdict is Verdict.ALLOW or explanation.is_beyond_inputs:
        return
    if not explanation.proposals:
        print("  no change of up to three inputs was found that would allow it")
    for number, changes in enumerate(explanation.proposals):
        print(f"  {'or' if number else 'it would be allowed'} with {' and '.join(map(_shown, changes))}")


def _shown(change: Change) -> str:
    return f"{change.name} {change.bound} (now {change.now})"
