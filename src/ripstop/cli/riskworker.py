"""`ripstop risk worker`: count cascade worlds that others ask for over a queue."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json
from ripstop.cli.output import counted, print_json
from ripstop.cli.signals import told_to_stop

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop risk worker --nats nats://127.0.0.1:4222
  ripstop risk examples/fleet.json --trials 1000000 --queue nats://127.0.0.1:4222

The server is `nats-server -js`, for example. Start as many workers as there are cores, on as many machines as
there are. What they count does not depend on who counts it: the report has the same bytes. A worker that dies
loses nothing, its unit goes to another after five seconds. It ends by Ctrl-C or SIGTERM, when the unit at
hand is done.

exit codes: 0 ended, 2 usage, or no server
"""


def add_parser(verbs: Subparsers) -> None:
    """Add the verb to `ripstop risk`."""
    parser = add_command(
        verbs,
        "worker",
        "count worlds for `ripstop risk GRAPH --queue`",
        _EPILOG,
        "Take units of work from a NATS server with JetStream, and answer them.",
    )
    parser.add_argument(
        "--nats",
        metavar="URL",
        default="nats://127.0.0.1:4222",
        help="the server (default nats://127.0.0.1:4222)",
    )
    add_json(parser, "units")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Serve until the process is told to end."""
    units = asyncio.run(_serve(args.nats))
    if args.json:
        print_json({"units": units})
    else:
        print(f"{counted(units, 'unit')} counted")
    return 0


async def _serve(url: str) -> int:
    from ripstop.control.riskqueue import serve

    ends = told_to_stop()
    print(f"taking units from {url}", file=sys.stderr, flush=True)
    return await serve(url, ends=ends)
