"""`ripstop ledger show | verify`: read an agent's ledger, and check that it is whole."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, add_verbs, whole
from ripstop.cli.output import counted, print_json, words

if TYPE_CHECKING:
    from ripstop.agent.inspection import LedgerReport
    from ripstop.cli.root import Subparsers
    from ripstop.core.journal import Entry

_EPILOG = """examples:
  ripstop ledger show ripstop-agents/drone-42/ledger
  ripstop ledger show ripstop-agents/drone-42/ledger --kind decision --last 20 --json
  ripstop ledger verify ripstop-agents/drone-42/ledger
  ripstop ledger verify ripstop-agents/drone-42/ledger --head 6e3c...

FOLDER is what `Agent(..., ledger=FOLDER)` was given. It is read without a lock and nothing in it is changed,
so an agent may be running on it: what it is writing just then shows as a torn tail. In a fleet the agent
keeps what has no receipt yet; the ground has the rest (`ripstop audit verify`). Marks of the last sync show
what was cut off since; a head that was kept elsewhere (--head) shows what was exchanged together with them.

exit codes: 0 everything holds, 1 findings, 2 usage or configuration
"""
_EPOCH = datetime(1970, 1, 1)  # in UTC, which is not printed
_KINDS = ("basis", "decision", "intent", "breaker", "notice", "segment", "summary")


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    verbs = add_verbs(add_command(subparsers, "ledger", "read and verify an agent's ledger", _EPILOG))
    show = add_command(verbs, "show", "print a ledger's records, oldest first", _EPILOG)
    show.add_argument("folder", type=Path, metavar="FOLDER", help="the ledger's folder")
    show.add_argument(
        "--kind", choices=_KINDS, metavar="KIND", help=f"only records of this kind: {', '.join(_KINDS)}"
    )
    show.add_argument(
        "--last", type=whole(0), default=0, metavar="N", help="only the last N, 0 for all (default)"
    )
    add_json(show, "a line for each record: number, kind, t_us, body")
    show.set_defaults(func=run_show)
    verify = add_command(verbs, "verify", "check a ledger's chain, records, marks and bundles", _EPILOG)
    verify.add_argument("folder", type=Path, metavar="FOLDER", help="the ledger's folder")
    verify.add_argument("--head", default="", metavar="HEX", help="the head that somebody else kept")
    add_json(verify, "agent, head, streams, bundles, findings")
    verify.set_defaults(func=run_verify)


def run_show(args: argparse.Namespace) -> int:
    """Print the records of a ledger."""
    from ripstop.agent.inspection import inspect_ledger

    report = inspect_ledger(args.folder)
    found = [
        (number, entry)
        for number, entry in (report.ledger.entries if report.ledger else [])
        if args.kind in (None, entry.kind.value)
    ]
    for number, entry in found[-args.last :] if args.last > 0 else found:
        print(_as_json(number, entry) if args.json else _as_line(number, entry))
    return 1 if report.findings else 0


def run_verify(args: argparse.Namespace) -> int:
    """Verify a ledger and print what was found."""
    from ripstop.agent.inspection import inspect_ledger

    report = inspect_ledger(args.folder)
    findings = report.findings
    head = report.ledger.head.hex() if report.ledger else ""
    if args.head and args.head.lower() != head:
        findings.append(f"ledger: its head is `{head}`, expected `{args.head.lower()}`")
    if args.json:
        print_json(_summary(report, head, findings))
        return 1 if findings else 0
    print(f"agent      {report.owner}")
    for stream in report.streams:
        is_empty = stream.first > stream.last
        held = f"no records behind {stream.last}" if is_empty else f"records {stream.first} to {stream.last}"
        print(f"{stream.stream:10} {held}")
    if report.bundles:
        print(f"{'bundle':10} {', '.join(map(str, report.bundles))}")
    print(f"head       {head}")
    for finding in findings:
        print(finding)
    print(counted(len(findings), "finding") if findings else "everything holds")
    return 1 if findings else 0


def _summary(report: LedgerReport, head: str, findings: list[str]) -> dict[str, object]:
    streams = {stream.stream: {"first": stream.first, "last": stream.last} for stream in report.streams}
    bundles = list(report.bundles)
    return {
        "agent": report.owner,
        "head": head,
        "streams": streams,
        "bundles": bundles,
        "findings": findings,
    }


def _as_json(number: int, entry: Entry) -> str:
    shown = {"number": number, "kind": entry.kind.value, "t_us": entry.t_us, "body": entry.body}
    return json.dumps(shown, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    """Give what JSON has no word for: bytes as hex, other mappings as objects."""
    return value.hex() if isinstance(value, bytes) else str(value)


def _as_line(number: int, entry: Entry) -> str:
    try:
        at = (_EPOCH + timedelta(microseconds=entry.t_us)).isoformat(sep=" ", timespec="milliseconds")
    except OverflowError:  # the clock stood beyond the years that have a calendar
        at = f"{entry.t_us} us"
    return f"{number:8} {at} {entry.kind.value:8} {words(entry.body)}".rstrip()
