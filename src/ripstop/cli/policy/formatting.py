"""`ripstop policy fmt`: one layout for policy files."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, existing
from ripstop.cli.output import print_json
from ripstop.cli.policy.arguments import expanded
from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError
from ripstop.core.files import write_whole
from ripstop.policy.diagnostics import Findings
from ripstop.policy.fmt import format_source
from ripstop.policy.source import decode

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy fmt policies
  ripstop policy fmt policies --check
  ripstop policy fmt policies/payload_limit.json --diff

Comments stay, and so does what a file says. Without --check or --diff files are written in place.

exit codes: 0 fine, 1 a file is malformed or, with --check or --diff, would change, 2 usage
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "fmt", "lay policy files out in one way, comments kept", _EPILOG)
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=existing,
        help="a policy or vocabulary, or a folder of them",
    )
    parser.add_argument("--check", action="store_true", help="write nothing, list what would change")
    parser.add_argument("--diff", action="store_true", help="write nothing, print what would change")
    add_json(parser, "files: [file, changed]")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Format files, or say which would change."""
    is_dry = args.check or args.diff
    records: list[Json] = []
    changed = False
    for path in expanded(args.files):
        before = _read(path)
        after = format_source(before, str(path))
        changed |= after != before
        records.append({"file": str(path), "changed": after != before})
        if after == before:
            continue
        if not is_dry:
            _write(path, after)
        if args.diff and not args.json:
            lines = difflib.unified_diff(
                before.splitlines(keepends=True),
                after.splitlines(keepends=True),
                f"{path}",
                f"{path} (formatted)",
            )
            sys.stdout.writelines(line if line.endswith("\n") else f"{line}\n" for line in lines)
        elif not args.json:
            print(f"{path}: {'would change' if is_dry else 'formatted'}")
    if args.json:
        print_json({"files": records})
    return 1 if changed and is_dry else 0


def _read(path: Path) -> str:
    """Read a file.

    Raises:
        ConfigurationError: C0008, it cannot be read.
        PolicyRejectedError: it is too large, or not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise ConfigurationError(f"`{path}` cannot be read, {reason}", code="C0008") from None
    findings = Findings()
    text = decode(content, str(path), findings)
    findings.raise_errors()
    return text or ""


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole: half a policy on a full disk would be none.

    Raises:
        ConfigurationError: C0008, it cannot be written.
    """
    try:
        place = path.resolve()  # a link stays one
        mode = place.stat().st_mode & 0o777
        write_whole(place, text.encode(), mode)
        place.chmod(mode)  # also what the umask takes from new files
    except OSError as error:
        reason = (error.strerror or "unwritable").lower()
        raise ConfigurationError(f"`{path}` cannot be written, {reason}", code="C0008") from None
