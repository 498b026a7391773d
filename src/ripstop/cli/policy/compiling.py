"""`ripstop policy compile`: policies as a Wasm module, a C header, Python source, or typed expressions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import print_json
from ripstop.cli.policy.arguments import add_policies, loaded
from ripstop.core.errors import ConfigurationError

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_TARGETS = ("wasm", "c99", "python", "ir")
_EPILOG = """examples:
  ripstop policy compile policies/payload_limit.json --target wasm -o payload_limit.wasm
  ripstop policy compile policies/drones --target c99 --prefix drone -o drone_policy.h
  ripstop policy compile policies/payload_limit.json --target wasm --verdict-only -o small.wasm
  ripstop policy compile policies/payload_limit.json --target ir

The same policies give the same bytes. Several files become one bundle. Without -o it is written to standard
output.

exit codes: 0 fine, 1 a policy does not load or the target cannot run it, 2 usage
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "compile", "compile policies to a file that runs elsewhere", _EPILOG)
    add_policies(parser)
    parser.add_argument("--target", required=True, choices=_TARGETS, help="what to make")
    parser.add_argument("-o", "--output", metavar="OUT", help="the file to write")
    parser.add_argument(
        "--verdict-only", action="store_true", help="leave evidence and limits out: the rule's verdict alone"
    )
    parser.add_argument(
        "--prefix", type=_name, default="ripstop", help="begins the names in a C header (default ripstop)"
    )
    add_json(parser, "file, target, bytes (with -o)")
    parser.set_defaults(func=run)


def _name(text: str) -> str:
    if not (text.isascii() and text.isidentifier()):
        raise argparse.ArgumentTypeError(f"expected a name as C has them, got `{text}`")
    return text


def run(args: argparse.Namespace) -> int:
    """Compile, write the file, and say how large it is."""
    from ripstop.backends import emit

    content = emit(loaded(args), args.target, evidence=not args.verdict_only, prefix=args.prefix)
    if args.output is None:
        sys.stdout.buffer.write(content)
        return 0
    try:
        Path(args.output).write_bytes(content)
    except OSError as error:
        reason = (error.strerror or "unwritable").lower()
        raise ConfigurationError(f"`{args.output}` cannot be written, {reason}", code="C0009") from None
    if args.json:
        print_json({"file": args.output, "target": args.target, "bytes": len(content)})
    else:
        print(f"{args.output}: {args.target}, {len(content)} bytes")
    return 0
