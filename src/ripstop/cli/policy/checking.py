"""`ripstop policy check`: everything that is wrong with policy files, for people, programs and code hosts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import ripstop
from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import counted, print_json
from ripstop.cli.policy.arguments import add_policies, expanded
from ripstop.core.canonical import Json
from ripstop.policy import Checked, Policy, check, load_vocabulary

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy check policies/payload_limit.json
  ripstop policy check policies/drones --json
  ripstop policy check policies --format sarif > findings.sarif
  ripstop policy check policies/payload_limit.json --vocabulary vocabularies/drone.yaml --strict

exit codes: 0 fine, 1 a file does not load (or, with --strict, has a lint), 2 usage
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "check", "tell everything that is wrong with policy files", _EPILOG)
    add_policies(parser)
    parser.add_argument(
        "--format", choices=("text", "json", "sarif"), default="text", help="how to print (default text)"
    )
    parser.add_argument("--strict", action="store_true", help="let lints fail, too")
    add_json(parser, "files: [file, ok, id, digest, findings: [code, line, column, ...]]")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check files, print what was found, and say whether all of them load."""
    vocabulary = load_vocabulary(args.vocabulary) if args.vocabulary else None
    checked = [(path, check(path, vocabulary)) for path in expanded(args.files)]
    if args.format == "sarif":
        from ripstop.policy.sarif import sarif_of

        findings = [finding for _, each in checked for finding in each.findings]
        print_json(sarif_of(findings, ripstop.__version__))
    elif args.json or args.format == "json":
        print_json({"files": [_file_record(path, each) for path, each in checked]})
    else:
        for path, each in checked:
            _print_file(path, each)
    return 0 if all(_is_fine(each, strict=args.strict) for _, each in checked) else 1


def _is_fine(checked: Checked, *, strict: bool) -> bool:
    return checked.policy is not None and not (strict and checked.findings)


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
        print(f"{path}: {counted(len(checked.findings), 'finding')}")
    else:
        print(f"{path}: fine, {_summary(checked.policy)}")


def _summary(policy: Policy) -> str:
    guards = "every action" if policy.guards is None else ", ".join(policy.guards)
    kind = "a bare rule" if policy.is_bare else f"`{policy.id}` ({policy.tier})"
    return f"{kind} over {guards}, reads {', '.join(policy.program.reads) or 'nothing'}"
