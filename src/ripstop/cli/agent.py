"""`ripstop agent`: a sample drone that joins a running control plane and shows what happens to it."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, number
from ripstop.cli.output import words
from ripstop.cli.signals import told_to_stop

if TYPE_CHECKING:
    from ripstop.agent.runtime import AgentRuntime
    from ripstop.cli.root import Subparsers
    from ripstop.core.clock import Instant
    from ripstop.core.messages import PeerMessage
    from ripstop.core.node import Report, Scalar
    from ripstop.links import Identity

_EPILOG = """examples:
  ripstop agent drone-42 --server nats://127.0.0.1:4222 --token TOKEN
  ripstop agent drone-42
  ripstop agent drone-42 --fault-after 20 --repair-after 30
  ripstop agent drone-42 --seconds 60 --json

`ripstop up` prints the address and the token; once a drone has joined, its name is enough. It drains its
battery at one reading a second, is offered a delivery now and then, and asks its
policies before it takes one. Its keys and its ledger lie in DIR/NAME. Ctrl-C ends it.

exit codes: 0 ended, 2 usage or configuration
"""
_SOURCE_V = (10.5, 12.6)  # a 3-cell lithium-polymer pack, empty and full
_DRAIN_PERCENT_S = 0.05
_OFFER_EVERY_S = 5
_FAULT = 0.15
_WATCHED = ("battery_percent", "battery_v")


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
        "--data", type=Path, default=Path("ripstop-agents"), metavar="DIR", help="data folder"
    )
    parser.add_argument(
        "--charge", type=number(0, 100), default=80.0, metavar="PERCENT", help="at the start (default 80)"
    )
    parser.add_argument(
        "--beat", type=float, default=5.0, metavar="S", help="seconds between beats (default 5)"
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
    from ripstop.links.loop import run as run_loop

    run_loop(_Drone(args).fly())
    return 0


@dataclass
class _Drone:
    """The sample application: a battery, a position, a delivery to be asked about every few seconds."""

    args: argparse.Namespace
    flown_s: float = 0.0
    tick: int = 0

    async def fly(self) -> None:
        """Join, then sense and ask until told to stop."""
        from ripstop.agent.runtime import AgentRuntime
        from ripstop.agent.settings import NodeSettings

        identity = await _identity(self.args)
        settings = NodeSettings(
            identity.agent,
            identity.fleet,
            beat_s=self.args.beat,
            watch=_WATCHED,
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
            while not stop.is_set() and not 0.0 < self.args.seconds <= self.flown_s:
                if runtime.link.is_connected != was_up:
                    was_up = not was_up
                    self._say("link.connected" if was_up else "link.lost", {"server": identity.address})
                self._second(runtime)
                try:
                    await asyncio.wait_for(stop.wait(), 1.0)
                except TimeoutError:
                    continue
        self._say("agent.ended", {"agent": identity.agent, "flown_s": self.flown_s})

    def _second(self, runtime: AgentRuntime) -> None:
        """One second of flight: sense, tell the workload, sometimes ask for a delivery."""
        from ripstop.agent.voice import Burden

        agent = runtime.agent
        percent = self._percent()
        agent.observe(self._readings(percent))
        spare_wh = percent / 2 - 5.0
        agent.carry(Burden(True, True, 5.0 * self.tick, 0.0, spare_wh, 0.01, 10, ()))
        if self.tick % _OFFER_EVERY_S == _OFFER_EVERY_S - 1:
            self._ask(runtime, spare_wh)
        self.tick += 1
        self.flown_s += 1.0

    def _percent(self) -> float:
        """The charge as the sensor reads it, with a little ripple, so that it is seen to be alive."""
        true = max(0.0, self.args.charge - _DRAIN_PERCENT_S * self.flown_s)
        ripple = 0.1 * ((self.tick * 7919) % 11 - 5) / 5
        begins, lasts = self.args.fault_after, self.args.repair_after
        is_faulty = begins is not None and self.flown_s >= begins
        if is_faulty and lasts is not None:
            is_faulty = self.flown_s < begins + lasts
        reading: float = (true + ripple) * (_FAULT if is_faulty else 1.0)
        return min(100.0, max(0.0, reading))

    def _readings(self, percent: float) -> dict[str, float]:
        empty, full = _SOURCE_V
        return {
            "battery_percent": percent,
            "battery_v": empty + (full - empty) * percent / 100.0,
            "spare_wh": percent / 2 - 5.0,
            "reserve_wh": 5.0,
            "x_m": 5.0 * self.tick,
            "y_m": 0.0,
            "payload_kg": 0.0,
        }

    def _ask(self, runtime: AgentRuntime, spare_wh: float) -> None:
        from ripstop.agent.vetoes import ActionVetoed

        number = self.tick // _OFFER_EVERY_S
        payload_kg = (0.4, 0.8, 1.6)[number % 3]
        place = 5.0 * self.tick
        try:
            runtime.agent.act(
                "accept_task",
                dict,
                payload_kg=payload_kg,
                task_priority=1 + number % 5,
                margin_after_wh=spare_wh,
                reserve_wh=5.0,
                pickup_x_m=place,
                pickup_y_m=100.0,
                drop_x_m=place + 500.0,
                drop_y_m=100.0,
            )
        except ActionVetoed as veto:
            reasons = "; ".join(f"{r.policy or 'agent'}: {r.text}" for r in veto.decision.reasons)
            self._say("task.vetoed", {"payload_kg": payload_kg, "reasons": reasons})
        else:
            self._say("task.accepted", {"payload_kg": payload_kg})

    def _offered(self, runtime: AgentRuntime, message: PeerMessage) -> None:
        """A peer offers an item: this sample carries nothing for others."""
        if message.kind.value == "offer":
            runtime.answer(message, accepted=False, reason="a sample agent carries nothing")

    def _reported(self, report: Report, now: Instant) -> None:
        self._say(report.name, report.fields)

    def _say(self, name: str, fields: object) -> None:
        shown: dict[str, Scalar] = dict(fields) if isinstance(fields, dict) else {}
        if self.args.json:
            print(json.dumps({"event": name, **shown}, ensure_ascii=False), flush=True)
        else:
            print(f"{self.flown_s:6.0f} s  {name:22} {words(shown)}", flush=True)


async def _identity(args: argparse.Namespace) -> Identity:
    from ripstop.core.errors import ConfigurationError
    from ripstop.links import Identity as Known
    from ripstop.links import enrol

    path = args.data / args.name / "identity.json"
    known = Known.load(path) if path.exists() else None
    if known is not None and known.is_enrolled and not args.token:
        return known
    if not (args.server and args.token):
        raise ConfigurationError(
            f"`{args.name}` has not joined a fleet yet",
            code="C0306",
            hint="give --server and --token as `ripstop up` prints them",
        )
    print(f"joining {args.server}", file=sys.stderr)
    return await enrol(args.server, args.token, args.name, path, renews=True)
