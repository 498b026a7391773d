"""`ripstop agent`: a sample drone that joins a running control plane and shows what happens to it."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, number, whole
from ripstop.cli.invitation import Invitation
from ripstop.cli.output import words
from ripstop.cli.signals import told_to_stop
from ripstop.core.errors import ConfigurationError

if TYPE_CHECKING:
    from ripstop.agent.agent import Agent
    from ripstop.agent.runtime import AgentRuntime
    from ripstop.cli.root import Subparsers
    from ripstop.cli.sampledrone import SampleDrone
    from ripstop.core.clock import Instant
    from ripstop.core.messages import Item, PeerMessage
    from ripstop.core.node import Report, Scalar
    from ripstop.links import Identity

_EPILOG = """examples:
  ripstop agent drone-42 --server nats://127.0.0.1:4222 --token TOKEN
  ripstop agent drone-42
  ripstop agent drone-42 --join ripstop-data
  ripstop agent drone-42 --tasks 6 --fault-after 60 --repair-after 30
  ripstop agent drone-42 --seconds 60 --json

`ripstop up` prints the address and the token; on the machine where it runs its data folder (--join) says
both. Once a drone has joined, its name is enough. It drains its battery at one reading a second, is offered a
delivery now and then, and asks its policies before it takes one. With --tasks it keeps a list of deliveries
and tells the ground of it: a few such drones and one with a fault show the whole loop (docs/guide/home.md).
Its keys and its ledger lie in DIR/NAME. Ctrl-C ends it.

exit codes: 0 ended, 2 usage or configuration
"""
_OFFER_EVERY_S = 5
_RENEWAL_S = 2.0  # from the use of a token to the next one
_LOOK_EVERY_S = 0.1


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = add_command(
        subparsers,
        "agent",
        "run a sample agent that joins a control plane",
        _EPILOG,
        "Run a sample drone that joins a control plane, and show what happens to it.",
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", default="drone-1", help="its id in the fleet (default drone-1)"
    )
    parser.add_argument("--server", default="", metavar="URL", help="address of the message server")
    parser.add_argument(
        "--token", default="", help="enrolment token (the first time, and to take the fleet's keys anew)"
    )
    parser.add_argument(
        "--join", type=Path, metavar="DIR", help="data folder of a `ripstop up` here: address and token"
    )
    parser.add_argument(
        "--data", type=Path, default=Path("ripstop-agents"), metavar="DIR", help="data folder"
    )
    parser.add_argument(
        "--charge", type=number(0, 100), default=80.0, metavar="PERCENT", help="at the start (default 80)"
    )
    parser.add_argument(
        "--beat", type=float, default=5.0, metavar="S", help="seconds between beats (default 5)"
    )
    parser.add_argument(
        "--tasks", type=whole(0, 10), default=0, metavar="N", help="deliveries on its list at most"
    )
    parser.add_argument(
        "--fault-after", type=number(0), metavar="S", help="let the battery sensor lie from then on"
    )
    parser.add_argument(
        "--repair-after", type=number(0), metavar="S", help="and replace it after so long again"
    )
    parser.add_argument(
        "--seconds", type=number(0), default=0.0, metavar="S", help="end by itself (0: never)"
    )
    parser.add_argument("--json", action="store_true", help="print events as JSON lines")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run until a signal comes or the time is over."""
    importlib.import_module("nacl")  # nothing is taken unsigned: say so before anything else
    from ripstop.cli.sampledrone import Fault, SampleDrone
    from ripstop.links.loop import run as run_loop

    fault = Fault(args.fault_after, args.repair_after)
    run_loop(_Flight(args, SampleDrone(args.name, args.charge, args.tasks, fault)).fly())
    return 0


@dataclass
class _Flight:
    """One flight of the sample drone: it senses, tells what it carries, and asks before it acts."""

    args: argparse.Namespace
    drone: SampleDrone

    async def fly(self) -> None:
        """Join, then sense and ask until told to stop."""
        from ripstop.agent.runtime import AgentRuntime
        from ripstop.agent.settings import NodeSettings
        from ripstop.cli.sampledrone import WATCHED

        identity = await _identity(self.args)
        settings = NodeSettings(
            identity.agent,
            identity.fleet,
            beat_s=self.args.beat,
            watch=WATCHED,
            seed=int.from_bytes(identity.signing_seed[:8], "big"),
        )
        runtime = AgentRuntime(identity, settings=settings, ledger=self.args.data / identity.agent / "ledger")
        runtime.on_report = self._reported
        runtime.on_offer = lambda message, now: self._offered(runtime, message)
        stop = told_to_stop()
        async with runtime:
            self._say(
                "agent.started",
                {"agent": identity.agent, "fleet": identity.fleet, "server": identity.address},
            )
            was_up = False
            while not stop.is_set() and not 0.0 < self.args.seconds <= self.drone.tick:
                if runtime.link.is_connected != was_up:
                    was_up = not was_up
                    self._say("link.connected" if was_up else "link.lost", {"server": identity.address})
                self._second(runtime.agent)
                try:
                    await asyncio.wait_for(stop.wait(), 1.0)
                except TimeoutError:
                    continue
        self._say("agent.ended", {"agent": identity.agent, "flown_s": float(self.drone.tick)})

    def _second(self, agent: Agent) -> None:
        """One second of flight: sense, tell the workload, sometimes ask for a delivery, or make one."""
        from ripstop.agent.tokens import FOLDER, take_tokens

        drone = self.drone
        take_tokens(agent, self.args.data / self.args.name / FOLDER)
        agent.observe(drone.readings())
        agent.carry(drone.burden(takes_work=agent.breaker_state.value == "closed"))
        drone.tick += 1
        if drone.tick % _OFFER_EVERY_S == 0 and (not drone.most_tasks or len(drone.tasks) < drone.most_tasks):
            self._ask(agent, drone.next_offer())
        if drone.may_deliver:
            self._deliver(agent)

    def _ask(self, agent: Agent, task: Item) -> None:
        """Ask whether an offered delivery may be taken."""
        context = self.drone.acceptance(task)
        if self._may(agent, "accept_task", context, "task.vetoed"):
            self._say("task.accepted", _brief(context))
            self.drone.take(task)

    def _deliver(self, agent: Agent) -> None:
        """Make the most important delivery on the list that is permitted now."""
        for task in sorted(self.drone.tasks, key=lambda task: task.priority):
            context = self.drone.delivery(task)
            if self._may(agent, "start_delivery", context, "delivery.paused"):
                self._say("delivery.made", _brief(context))
                self.drone.deliver(task)
                return

    def _may(self, agent: Agent, action: str, context: Mapping[str, float], else_told: str) -> bool:
        """Ask the policies; a veto is told with its reasons."""
        from ripstop.agent.vetoes import ActionVetoed

        try:
            agent.act(action, dict, **context)
        except ActionVetoed as veto:
            reasons = "; ".join(f"{r.policy or 'agent'}: {r.text}" for r in veto.decision.reasons)
            self._say(else_told, {**_brief(context), "reasons": reasons})
            return False
        return True

    def _offered(self, runtime: AgentRuntime, message: PeerMessage) -> None:
        """A peer offers an item: this sample carries nothing for others."""
        if message.kind.value == "offer":
            runtime.answer(message, accepted=False, reason="a sample agent carries nothing")

    def _reported(self, report: Report, now: Instant) -> None:
        self._say(report.name, report.fields)

    def _say(self, name: str, fields: Mapping[str, Scalar]) -> None:
        if self.args.json:
            print(json.dumps({"event": name, **fields}, ensure_ascii=False), flush=True)
        else:
            print(f"{self.drone.tick:6d} s  {name:22} {words(fields)}", flush=True)


def _brief(context: Mapping[str, float]) -> dict[str, Scalar]:
    """Give what people want to know of a delivery."""
    return {"payload_kg": context["payload_kg"], "priority": context["task_priority"]}


async def _identity(args: argparse.Namespace) -> Identity:
    from ripstop.links import Identity as Known
    from ripstop.links import enrol

    path = args.data / args.name / "identity.json"
    known = Known.load(path) if path.exists() else None
    if known is not None and known.is_enrolled and not args.token:
        return known
    if args.join is not None:
        return await _join(args.join, args.name, path)
    if not (args.server and args.token):
        raise ConfigurationError(
            f"`{args.name}` has not joined a fleet yet",
            code="C0306",
            hint="give --server and --token as `ripstop up` prints them, or --join its data folder",
        )
    print(f"joining {args.server}", file=sys.stderr)
    return await enrol(args.server, args.token, args.name, path, renews=True)


async def _join(folder: Path, name: str, path: Path) -> Identity:
    """Join by what `ripstop up` keeps in its data folder; each token lets one in, so others may be faster."""
    from ripstop.links import enrol

    while True:
        invitation = Invitation.read(folder)
        try:
            return await enrol(invitation.server, invitation.token, name, path)
        except ConfigurationError as error:
            if error.code != "C0508" or not await _is_renewed(folder, invitation):
                raise


async def _is_renewed(folder: Path, used: Invitation) -> bool:
    """Wait for the token that follows one that is used; False where none does."""
    for _ in range(round(_RENEWAL_S / _LOOK_EVERY_S)):
        if Invitation.read(folder) != used:
            return True
        await asyncio.sleep(_LOOK_EVERY_S)
    return False
