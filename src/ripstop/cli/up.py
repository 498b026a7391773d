"""`ripstop up`: start the message server and the control plane, and keep them until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, port
from ripstop.cli.invitation import Invitation
from ripstop.cli.output import words
from ripstop.cli.signals import told_to_stop

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.control.service import ControlService, ServiceOptions

_EPILOG = """examples:
  ripstop up
  ripstop up --data /var/lib/ripstop --port 4222 --fleet city
  ripstop up --policies ./policies --playbook ./playbooks/drones.yaml
  ripstop up --mqtt-port 1883 --mqtt-device drone-7
  ripstop up --json | grep -m1 '"event": "up"'

The policies are a folder in a Git repository: each commit that holds becomes a release and reaches every
agent; one that does not is refused, and the last good release stays. Without --policies the data folder gets
a repository of its own that begins with the policies that come with Ripstop.

exit codes: 0 stopped by Ctrl-C or SIGTERM, 2 usage or configuration
"""
_QUICK_S = 2.0  # loading them takes no longer


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = add_command(
        subparsers,
        "up",
        "start the message server and the control plane",
        _EPILOG,
        "Start the embedded NATS server and the control plane; Ctrl-C stops both.",
    )
    parser.add_argument("--data", type=Path, default=Path("ripstop-data"), metavar="DIR", help="data folder")
    parser.add_argument("--port", type=port, default=0, help="of the server (default: the last one, or free)")
    parser.add_argument("--fleet", default="fleet", help="the fleet's name (default fleet)")
    parser.add_argument("--policies", type=Path, metavar="DIR", help="folder with policies, in Git")
    parser.add_argument("--playbook", type=Path, metavar="FILE", help="playbook (default: the drones' one)")
    parser.add_argument("--metrics-port", type=port, default=0, help="for Prometheus (default: any free one)")
    parser.add_argument("--mqtt-port", type=port, help="open an MQTT listener for devices (0: any free port)")
    parser.add_argument(
        "--mqtt-device",
        action="append",
        default=[],
        metavar="ID",
        help="let this device in there (repeatable)",
    )
    parser.add_argument(
        "--beat", type=float, default=5.0, metavar="S", help="seconds between agents' beats (default 5)"
    )
    parser.add_argument("--json", action="store_true", help="print the address and all events as JSON lines")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run until a signal comes."""
    _configure_logging(as_json=args.json)
    from ripstop.hooks import log_to_structlog
    from ripstop.links.loop import run as run_loop

    with log_to_structlog():  # what the links tell, too
        is_prepared = run_loop(_serve(_options(args), as_json=args.json))
    if not is_prepared:  # a compiler cannot be interrupted, and Python would wait for it
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _options(args: argparse.Namespace) -> ServiceOptions:
    from ripstop.control import ControlSettings, load_playbook
    from ripstop.control.service import ServiceOptions
    from ripstop.core.errors import ConfigurationError
    from ripstop.core.shipped import shipped
    from ripstop.policy.loader import find_vocabulary, load_vocabulary

    playbook = load_playbook(args.playbook or shipped("playbooks") / "drones.yaml")
    policies = args.policies or _own_policies(args.data)
    found = find_vocabulary(playbook.vocabulary, policies / "any.yaml")
    if found is None:
        raise ConfigurationError(
            f"the playbook's vocabulary `{playbook.vocabulary}` is not found",
            code="C0242",
            hint="put it into `vocabularies/` beside the policies",
        )
    settings = ControlSettings(args.fleet, beat_s=args.beat, tick_s=args.beat)
    return ServiceOptions(
        data=args.data,
        policies=policies,
        playbook=playbook,
        vocabulary=load_vocabulary(found),
        settings=replace(settings, survey_s=10.0),
        port=args.port,
        metrics_port=args.metrics_port,
        mqtt_port=args.mqtt_port,
        mqtt_devices=tuple(args.mqtt_device),
    )


def _own_policies(data: Path) -> Path:
    """Give the data folder's own policies, begun with those that come with Ripstop."""
    from ripstop.control.store.git import PolicyRepository
    from ripstop.core.shipped import shipped

    folder = data / "policies"
    if not folder.exists():
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copytree(shipped("policies") / "drones", folder / "drones")
        shutil.copytree(shipped("vocabularies"), folder / "vocabularies")
    if not (folder / ".git").exists():  # else a checkout around it would be the store
        PolicyRepository.begin(folder).close()
    return folder


def _configure_logging(*, as_json: bool) -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _severity,
            structlog.processors.TimeStamper(fmt="iso" if as_json else "%Y-%m-%d %H:%M:%SZ", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if as_json else _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout if as_json else sys.stderr),
    )


def _severity(logger: object, method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Tell how grave an event is as `severity`, so that a risk may have its `level`."""
    event["severity"] = event.pop("level")
    if "level_" in event:
        event["level"] = event.pop("level_")
    return event


def _line(logger: object, method: str, event: MutableMapping[str, object]) -> str:
    """Lay one event out for people: when, how grave, what, its fields; a traceback on lines of its own."""
    at, severity, name = (event.pop(key) for key in ("timestamp", "severity", "event"))
    trace = f"\n{event.pop('exception')}" if "exception" in event else ""
    return f"{at} {severity:7} {name:24} {words(event)}".rstrip() + trace


async def _serve(options: ServiceOptions, *, as_json: bool) -> bool:
    """Serve until a signal comes; gives whether nothing is being compiled any more."""
    from ripstop.control.service import ControlService
    from ripstop.links.tasks import end

    stop = told_to_stop()
    async with ControlService(options) as service:
        service.on_enrolled = lambda agent: _tell_next(service, agent, as_json=as_json)
        _tell(service, as_json=as_json)
        telling = asyncio.create_task(_tell_prepared(service, as_json=as_json))
        await stop.wait()
        Invitation.withdraw(options.data)
        await end(telling)
    if not as_json:
        print("stopped; the data stay in", options.data)
    return service.is_prepared.is_set()


def _tell(service: ControlService, *, as_json: bool) -> None:
    token = _invite(service)
    options = service.options
    if as_json:
        told = {
            "event": "up",
            "address": service.server.address,
            "fleet": options.settings.fleet,
            "token": token,
            "metrics": service.metrics_url,
            "data": str(options.data),
            "policies": str(options.policies),
            "observer": service.server.observer_url,
            "mqtt": service.server.mqtt_address,
            "mqtt_passwords": dict(service.server.mqtt_passwords),
        }
        print(json.dumps(told), flush=True)
        return
    print(f"ripstop is up: fleet `{options.settings.fleet}` at {service.server.address}")
    print(f"  an agent joins with   {_join(service, token)}")
    print(f"  policies              {options.policies} (commit there: each commit is a release)")
    print(f"  metrics               {service.metrics_url}")
    print(f"  listen on the wire    {service.server.observer_url} (any NATS client; read only)")
    for device, password in sorted(service.server.mqtt_passwords.items()):
        print(f"  device {device:<15}{service.server.mqtt_address} user {device} password {password}")
    print("  Ctrl-C stops it", flush=True)


async def _tell_prepared(service: ControlService, *, as_json: bool) -> None:
    """Say that the risk kernels are being compiled, where that takes its time, and when they are."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_QUICK_S):
            await service.is_prepared.wait()
    if not service.is_prepared.is_set() and not as_json:
        print("preparing the risk kernels: up to a minute, once on this machine", flush=True)
        print("  agents may join now, an incident would wait for them", flush=True)
        await service.is_prepared.wait()
        print("the risk kernels are ready", flush=True)
    await service.is_prepared.wait()
    if as_json:
        print(json.dumps({"event": "ready"}), flush=True)


def _tell_next(service: ControlService, agent: str, *, as_json: bool) -> None:
    """A token lets one device in: after each the next one is told."""
    token = _invite(service)
    if as_json:
        print(json.dumps({"event": "token", "enrolled": agent, "token": token}), flush=True)
    else:
        print(f"`{agent}` is enrolled; the next agent joins with   {_join(service, token)}", flush=True)


def _invite(service: ControlService) -> str:
    """Give the token that lets the next device in, told to agents on this machine as well."""
    token = service.token()
    Invitation(service.server.address, token).write(service.options.data)
    return token


def _join(service: ControlService, token: str) -> str:
    return f"ripstop agent NAME --server {service.server.address} --token {token}"
