"""`ripstop audit`: check that what a run recorded is whole, and make its catalogue again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, add_top, add_verbs
from ripstop.cli.output import counted, print_json, print_notes

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.control.audit.verify import Verification

_EPILOG = """examples:
  ripstop audit verify ripstop-data
  ripstop audit verify runs/2026-11-24-1 --json
  ripstop audit verify ripstop-data --head 6e3c...

RUN is the data folder of `ripstop up` or the folder of a run. Checked are the chains of all logs, the
signatures of agents and ground, that all files are those of this run as the ground's checkpoints have them,
each agent's ledger against the receipts given for it, and each decision: it is made again from its record by
the reference semantics. A head that was kept elsewhere (--head) shows where all was exchanged together.

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
    parser = add_command(subparsers, "audit", "verify what a run recorded, rebuild its catalogue", _EPILOG)
    verbs = add_verbs(parser)
    verify = add_command(verbs, "verify", "check logs, signatures, ledgers and decisions of a run", _EPILOG)
    verify.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    verify.add_argument("--head", default="", metavar="HEX", help="the head that somebody else kept")
    add_top(verify, "findings")
    add_json(verify, "counts, findings, head, notes, sound")
    verify.set_defaults(func=run)
    said = "make the catalogue of agents, incidents and decisions again from the logs"
    rebuild = add_command(verbs, "rebuild", said, _REBUILD)
    rebuild.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    rebuild.add_argument("--dry-run", action="store_true", help="count only, leave the catalogue as it is")
    add_json(rebuild, "catalogue, counts, findings, dry_run")
    rebuild.set_defaults(func=run_rebuild)


def run(args: argparse.Namespace) -> int:
    """Verify a run and print what was found."""
    from ripstop.control.audit.verify import verify_run

    result = verify_run(args.run, expected_head=args.head)
    if args.json:
        print_json(result.to_json())
    else:
        _print(result, args.top)
    return 0 if result.is_sound else 1


def run_rebuild(args: argparse.Namespace) -> int:
    """Make the catalogue again and print what is in it."""
    from ripstop.control.audit.rebuild import rebuild_catalogue

    with _progress(quiet=args.json) as tell:
        made = rebuild_catalogue(args.run, progress=tell, is_dry=args.dry_run)
    if args.json:
        print_json({**made.to_json(), "dry_run": args.dry_run})
    else:
        for finding in made.findings:
            print(f"left out: {finding}")
        held = ", ".join(f"{number} {name}" for name, number in made.counts.items())
        print(f"{made.path} {'would hold' if args.dry_run else 'holds'} {held}")
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
    for note in result.notes:
        print(f"note       {note}")
    shown = result.findings[: top or None]
    for finding in shown:
        print(finding)
    print_notes((), len(shown), len(result.findings))
    print("everything holds" if result.is_sound else counted(len(result.findings), "finding"))
