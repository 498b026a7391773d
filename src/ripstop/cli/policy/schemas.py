"""`ripstop policy schema`: the JSON Schemas that editors complete and check documents with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import print_json
from ripstop.policy.codec import programs_schema
from ripstop.policy.schema import policy_schema, vocabulary_schema

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_SCHEMAS = {"policy": policy_schema, "vocabulary": vocabulary_schema, "ir": programs_schema}
_EPILOG = """examples:
  ripstop policy schema > policy.schema.json
  ripstop policy schema vocabulary > vocabulary.schema.json
  ripstop policy schema ir

`ir` is what `ripstop policy compile --target ir` writes. In an editor with a YAML language server:
`# yaml-language-server: $schema=policy.schema.json` as a policy's first line.

exit codes: 0 fine, 2 usage
"""


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        commands, "schema", "print the JSON Schema of policy documents, for editors", _EPILOG
    )
    parser.add_argument(
        "of", nargs="?", choices=tuple(_SCHEMAS), default="policy", help="of what (default policy)"
    )
    add_json(parser, "the schema is JSON in any case")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    print_json(_SCHEMAS[args.of]())
    return 0
