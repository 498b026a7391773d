"""`ripstop sidecar`: agents behind HTTP on this machine, for programs in any language."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, existing, port
from ripstop.cli.signals import told_to_stop
from ripstop.core.errors import ConfigurationError

if TYPE_CHECKING:
    from ripstop.agent import Agent
    from ripstop.agent.sidecar import SidecarSettings
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop sidecar drone-42 --policy policies/payload_limit.json
  ripstop sidecar drone-1 drone-2 --policy policies/drones/admission.yaml --durable
  ripstop sidecar drone-42 --policy policies/payload_limit.json --port 8642 --json
  ripstop sidecar drone-42 --policy policies/payload_limit.json --keys ripstop-data/keys
  curl --unix-socket ripstop-agents/sidecar.sock http://localhost/v1/decide \\
    -d '{"action": "accept_task", "context": {"battery_percent": 80, "payload_kg": 0.5}}'

Several names make a gateway. The socket has mode 0600. The port is one of 127.0.0.1 and takes only requests
that bear the token, which is drawn and written to the token file where there is none. Each agent's ledger
lies in DIR/NAME/ledger; a second sidecar on one is refused. With --keys, tokens that `ripstop stop send
--agent DIR/NAME` lays into DIR/NAME are taken. Ctrl-C or SIGTERM ends it: what came in is answered, the
ledgers are synced, the socket is removed.

exit codes: 0 ended, 1 a policy does not load, 2 usage or configuration
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = add_command(
        subparsers,
        "sidecar",
        "serve agents to programs in any language, over HTTP on this machine",
        _EPILOG,
        "Serve one agent or a whole gateway over HTTP on this machine: decide, observe, outcome.",
    )
    parser.add_argument("names", metavar="NAME", nargs="+", help="ids of the agents")
    parser.add_argument(
        "--policy",
        type=existing,
        action="append",
        required=True,
        metavar="FILE",
        help="a policy; may be repeated",
    )
    parser.add_argument("--vocabulary", type=existing, metavar="FILE", help="by default that of the policies")
    parser.add_argument(
        "--data", type=Path, default=Path("ripstop-agents"), metavar="DIR", help="data folder"
    )
    parser.add_argument("--socket", type=Path, metavar="PATH", help="by default DIR/sidecar.sock")
    parser.add_argument(
        "--port", type=port, metavar="N", help="also serve on this port of 127.0.0.1 (0: any)"
    )
    parser.add_argument("--token-file", type=Path, metavar="PATH", help="by default DIR/sidecar.token")
    parser.add_argument(
        "--durable", action="store_true", help="a decision is on stable storage before it is answered"
    )
    parser.add_argument(
        "--slow-s", type=float, default=10.0, metavar="S", help="an action that takes longer is slow (10)"
    )
    parser.add_argument(
        "--call-s", type=float, default=300.0, metavar="S", help="how long an outcome is waited for (300)"
    )
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help="with the fleet's `stop*.pub` and `release*.pub`",
    )
    parser.add_argument("--fleet", default="fleet", help="whose stops count (default fleet)")
    parser.add_argument("--json", action="store_true", help="print events as JSON lines")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from ripstop.agent.sidecar import SidecarSettings

    settings = SidecarSettings(
        args.socket or args.data / "sidecar.sock",
        args.port,
        args.token_file or args.data / "sidecar.token",
        call_s=args.call_s,
        tokens=args.data,
    )
    with ExitStack() as opened:
        agents = []
        for agent in _agents(args):
            agents.append(agent)
            opened.callback(_close, agent)
        asyncio.run(_serve(agents, settings, as_json=args.json))
    if args.json:
        print(json.dumps({"event": "sidecar.ended"}), flush=True)
    else:
        print("stopped; the ledgers are in place", flush=True)
    return 0


def _close(agent: Agent) -> None:
    try:
        agent.close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"the ledger of `{agent.name}` cannot be synced: {reason}", code="C0386"
        ) from error


def _agents(args: argparse.Namespace) -> Iterator[Agent]:
    """Open the agents, one after the other."""
    from ripstop.agent import Agent, BreakerSettings, NodeSettings, Store
    from ripstop.policy import load, load_vocabulary

    vocabulary = None if args.vocabulary is None else load_vocabulary(args.vocabulary)
    policies = [load(path, vocabulary) for path in args.policy]
    trust = None
    if args.keys is not None:
        from ripstop.core.wire.envelope import Role
        from ripstop.core.wire.keyfile import read_keyring

        trust = read_keyring(args.keys, (Role.STOP, Role.RELEASE))
    for name in args.names:
        settings = NodeSettings(
            name,
            args.fleet,
            durable=args.durable,
            call_breaker=BreakerSettings(slow_call_duration_s=args.slow_s),
        )
        ledger = Store(args.data / name / "ledger", trust)
        yield Agent(name, policies, vocabulary=vocabulary, ledger=ledger, settings=settings)


async def _serve(agents: Sequence[Agent], settings: SidecarSettings, *, as_json: bool) -> None:
    from ripstop.agent.sidecar import Sidecar

    stop = told_to_stop()
    async with Sidecar(agents, settings) as sidecar:
        names = [agent.name for agent in agents]
        _tell(names, settings, sidecar.address, as_json=as_json)
        await stop.wait()


def _tell(names: Sequence[str], settings: SidecarSettings, address: str, *, as_json: bool) -> None:
    token_file = str(settings.token_file) if address else ""
    if as_json:
        told = {
            "event": "sidecar.started",
            "agents": names,
            "socket": str(settings.socket),
            "address": address,
            "token_file": token_file,
        }
        print(json.dumps(told, ensure_ascii=False), flush=True)
        return
    print(f"sidecar of {', '.join(names)}")
    print(f"  socket    {settings.socket}")
    if address:
        print(f"  loopback  {address} (token in {token_file})")
    print("  Ctrl-C stops it", flush=True)
