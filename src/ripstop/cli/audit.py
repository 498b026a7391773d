"""`ripstop audit`: check that what a run recorded is whole, and make its catalogue again."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.control.audit.verify import Verification

_EPILOG = """examples:
  ripstop audit verify ripstop-data
  ripstop audit verify runs/2026-11-24-1 --json
  ripstop audit verify ripstop-data --head 6e3c...

RUN is the data folder of `ripstop up` or the folder of a run. Checked are the chains of all logs, the
signatures of agents and ground, each agent's ledger against the receipts given for it, and each decision: it
is made again from its record by the reference semantics. A head that was kept elsewhere (--head) shows what
was cut off or exchanged as a whole.

exit codes: 0 everything holds, 1 findings, 2 usage or configuration
"""
_REBUILD = """examples:
  ripstop audit rebuild ripstop-data
  ripstop audit rebuild ripstop-data --dry-run --json

The catalogue `records.db` (agents, incidents, decisions) is an index of the logs. It is made again from them
beside the one that is there, which gives way when the new one is whole. The control plane must be stopped.
Signatures are not checked here: see `ripstop audit verify`.

exit codes: 0 made, 1 made without what the logs hold that cannot be read, 2 usage or configuration
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "audit",
        help="verify what a run recorded, rebuild its catalogue",
        description="Verify what a run recorded, rebuild its catalogue.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="commands", metavar="VERB", required=True)
    verify = verbs.add_parser(
        "verify",
        help="check logs, signatures, ledgers and decisions",
        description="Check logs, signatures, ledgers and decisions of a run.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    verify.add_argument("--head", default="", help="the head that somebody else kept")
    verify.add_argument("--top", type=int, default=20, help="findings shown, 0 for all (default 20)")
    verify.add_argument("--json", action="store_true", help="print counts and findings as JSON")
    verify.set_defaults(func=run)
    rebuild = verbs.add_parser(
        "rebuild",
        help="make the catalogue records.db again",
        description="Make the catalogue of agents, incidents and decisions again from the logs.",
        epilog=_REBUILD,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rebuild.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    rebuild.add_argument("--dry-run", action="store_true", help="count only, leave the catalogue as it is")
    rebuild.add_argument("--json", action="store_true", help="print counts and what was left out as JSON")
    rebuild.set_defaults(func=run_rebuild)


def run(args: argparse.Namespace) -> int:
    """Verify a run and print what was found."""
    from ripstop.control.audit.verify import verify_run

    result = verify_run(args.run, expected_head=args.head)
    if args.json:
        print(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    else:
        _print(result, args.top)
    return 0 if result.is_sound else 1


def run_rebuild(args: argparse.Namespace) -> int:
    """Make the catalogue again and print what is in it."""
    from ripstop.control.audit.rebuild import rebuild_catalogue

    with _progress(quiet=args.json) as tell:
        made = rebuild_catalogue(args.run, progress=tell, is_dry=args.dry_run)
    if args.json:
        print(json.dumps({**made.to_json(), "dry_run": args.dry_run}, indent=2, ensure_ascii=False))
    else:
        for finding in made.findings:
            print(f"left out: {finding}")
        counted = ", ".join(f"{number} {name}" for name, number in made.counts.items())
        print(f"{made.path} {'would hold' if args.dry_run else 'holds'} {counted}")
    return 1 if made.findings else 0


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """Show a bar on standard error where somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading the logs", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _print(result: Verification, top: int) -> None:
    counts = result.counts
    logs = {name.removeprefix("log."): n for name, n in sorted(counts.items()) if name.startswith("log.")}
    print("logs       " + (", ".join(f"{name} {n}" for name, n in logs.items()) or "none"))
    kinds = {name.removeprefix("record."): n for name, n in sorted(counts.items()) if "record." in name}
    print("ledgers    " + (", ".join(f"{name} {n}" for name, n in kinds.items()) or "none"))
    decided = counts["record.decision"]
    print(f"decisions  {counts['decisions.verified']} of {decided} come out the same when decided again")
    withheld = counts["decisions.chain_only"]
    if withheld:
        print(f"           {withheld} withhold personal values: the chain alone vouches for them")
    print(f"head       {result.head}")
    shown = result.findings[: top or None]
    for finding in shown:
        print(finding)
    if len(shown) < len(result.findings):
        print(f"{len(result.findings) - len(shown)} more: --top 0 shows all")
    print("everything holds" if result.is_sound else f"{len(result.findings)} findings")
