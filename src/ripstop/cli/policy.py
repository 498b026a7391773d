"""`ripstop policy`: check policy files, and evaluate them on a context."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.core.canonical import Json
from ripstop.core.decision import Decision
from ripstop.core.errors import ConfigurationError
from ripstop.core.sample import value_to_json
from ripstop.policy import Checked, Policy, check, load, load_vocabulary
from ripstop.policy.bundle import shown_range
from ripstop.policy.ir import rule_of

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_CHECK_EPILOG = """examples:
  ripstop policy check policies/payload_limit.json
  ripstop policy check policies/drones --json
  ripstop policy check mine.yaml --vocabulary vocabularies/drone.yaml

exit codes: 0 fine, 1 a file does not load, 2 usage
"""

_EVAL_EPILOG = """examples:
  ripstop policy eval policies/payload_limit.json --context '{"battery_percent": 25, "payload_kg": 0.5}'
  ripstop policy eval policies/drones/admission.yaml --action accept_task \\
      --context '{"margin_after_wh": 4, "reserve_wh": 5}' --json
  ripstop policy eval mine.json --context @context.json

Without --action the rule alone is evaluated: allow, deny or unknown. With it the whole policy is: ranges,
limits, what UNKNOWN means.

exit codes: 0 allow, 1 anything else, 2 usage
"""

_SUFFIXES = (".json", ".yaml", ".yml")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "policy",
        help="check policy files, and evaluate them on a context",
        description="Check policy files, and evaluate them on a context.",
        epilog=_CHECK_EPILOG.split("exit codes")[0] + _EVAL_EPILOG.removeprefix("examples:\n"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    checking = commands.add_parser(
        "check",
        help="tell everything that is wrong with policy files",
        description="Load each policy strictly and tell everything that is wrong with it.",
        epilog=_CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    checking.add_argument("files", metavar="FILE", nargs="+", help="a policy, or a folder of policies")
    checking.set_defaults(func=run_check)
    evaluating = commands.add_parser(
        "eval",
        help="evaluate a policy on a context",
        description="Evaluate a policy's rule, or decide about an action, on a context.",
        epilog=_EVAL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluating.add_argument("file", metavar="FILE", help="the policy")
    evaluating.add_argument("--context", default="{}", metavar="JSON", help="the values, or @FILE with them")
    evaluating.add_argument("--action", metavar="NAME", help="decide about this action")
    evaluating.add_argument("--t-us", type=int, default=0, metavar="US", help="the moment, in microseconds")
    evaluating.set_defaults(func=run_eval)
    for each in (checking, evaluating):
        each.add_argument("--vocabulary", metavar="FILE", help="use this vocabulary instead of the named one")
        each.add_argument("--json", action="store_true", help="print JSON")


def run_check(args: argparse.Namespace) -> int:
    """Check files, print what was found, and say whether all of them load."""
    vocabulary = load_vocabulary(args.vocabulary) if args.vocabulary else None
    checked = [(path, check(path, vocabulary)) for path in _expanded(args.files)]
    if args.json:
        print(json.dumps({"files": [_file_record(path, each) for path, each in checked]}, ensure_ascii=False))
    else:
        for path, each in checked:
            _print_file(path, each)
    return 0 if all(each.policy is not None for _, each in checked) else 1


def _expanded(files: Sequence[str]) -> list[Path]:
    """Replace folders by the policies in them, sorted.

    Raises:
        ConfigurationError: C0004, a folder holds none.
    """
    paths: list[Path] = []
    for file in files:
        path = Path(file)
        if not path.is_dir():
            paths.append(path)
            continue
        inside = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
        if not inside:
            raise ConfigurationError(
                f"folder `{file}` holds no policy",
                code="C0004",
                hint=f"policies end in {', '.join(_SUFFIXES)}",
            )
        paths.extend(inside)
    return paths


def _file_record(path: Path, checked: Checked) -> dict[str, Json]:
    policy = checked.policy
    return {
        "file": str(path),
        "ok": policy is not None,
        "id": None if policy is None else policy.id,
        "digest": None if policy is None else policy.digest,
        "findings": [finding.to_json() for finding in checked.findings],
    }


def _print_file(path: Path, checked: Checked) -> None:
    for finding in checked.findings:
        print(finding.rendered(checked.source))
    if checked.policy is None:
        count = len(checked.findings)
        print(f"{path}: {count} finding{'s' if count != 1 else ''}")
    else:
        print(f"{path}: fine, {_summary(checked.policy)}")


def _summary(policy: Policy) -> str:
    guards = "every action" if policy.guards is None else ", ".join(policy.guards)
    kind = "a bare rule" if policy.is_bare else f"`{policy.id}` ({policy.tier})"
    return f"{kind} over {guards}, reads {', '.join(policy.program.reads) or 'nothing'}"


def run_eval(args: argparse.Namespace) -> int:
    """Evaluate a policy and print the outcome."""
    from ripstop.backends import compile as compile_policies

    policy = load(args.file, args.vocabulary)
    context = _context(args.context)
    compiled = compile_policies(policy)
    if args.action is None:
        verdict = compiled.verdict(context, args.t_us)
        record: dict[str, Json] = {"policy": policy.id, "verdict": verdict.word}
        print(json.dumps(record) if args.json else verdict.word)
        return 0 if verdict else 1
    decision = compiled.decide(args.action, context, args.t_us)
    if args.json:
        print(json.dumps(decision.to_json(), ensure_ascii=False))
    else:
        _print_decision(policy, decision)
    return 0 if decision else 1


def _context(text: str) -> dict[str, Json]:
    """Read the context from the command line, or from a file after `@`.

    Raises:
        ConfigurationError: C0005, it is no JSON object.
    """
    try:
        content = Path(text[1:]).read_text() if text.startswith("@") else text
        context = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise ConfigurationError(
            f"the context cannot be read, {reason}", code="C0005", hint='like {"a": 1}'
        ) from None
    if not isinstance(context, dict):
        raise ConfigurationError("the context is not a JSON object", code="C0005", hint='like {"a": 1}')
    return context


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
            print(f"  {outcome:>11}  {json.dumps(value_to_json(rule_of(atom)))}")
