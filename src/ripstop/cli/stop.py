"""`ripstop stop`: sign stops and what lifts them, show them, and hand them to a fleet or to one agent."""

from __future__ import annotations

import argparse
import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, add_verbs, number, source
from ripstop.cli.output import print_json, printable
from ripstop.core.errors import ConfigurationError

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.core.wire.envelope import Ed25519Signer, Role
    from ripstop.core.wire.token import Token

_EPILOG = """examples:
  ripstop stop key ann --role release
  ripstop stop sign "smoke over the field" --key stop.key --to stop.token
  ripstop stop show stop.token
  ripstop stop send stop.token --data ripstop-data
  ripstop stop lift NAME "it was steam" --key ann.key --to lift-ann.token

A stop is pulled by one signature, of a stop key, and latches: it holds over restarts and without the
ground, until two different release keys have signed the name of its latch. No command and no key can
shorten that. `ripstop up` keeps its keys in DATA/keys; a second person's key is made with `ripstop stop
key`, and its public half goes into DATA/keys of the ground.

exit codes: 0 fine, 1 refused, or not in effect yet, 2 usage, configuration or no answer
"""
_KEY = """examples:
  ripstop stop key ann --role release
  ripstop stop key ann --role stop --folder keys --json

Writes NAME.key, for its owner's eyes only, and ROLE-NAME.pub beside it. Copy the public half into DATA/keys
of the ground and start it anew: agents that join from then on trust it, those of before when they join
again with a token. Two people who each hold a release key can lift a stop; one alone never can.

exit codes: 0 written, 2 usage or configuration
"""
_SIGN = """examples:
  ripstop stop sign "smoke over the field" --key stop.key --to stop.token
  ripstop stop sign "rotor noise" --agent drone-42 --key stop.key --json
  ripstop stop sign "smoke over the field" --data ripstop-data --send

Signs a stop of the whole fleet, or of one agent, without any connection. With --data, key and fleet are
those of a `ripstop up` here, and --send hands the stop to it at once. The name of the latch is what has to
be signed to lift it.

A stop has no date at which it ends: an agent whose clock is wrong has to stop all the same.

exit codes: 0 signed, with --send: in effect wherever somebody answered, 1 refused, 2 usage, configuration
or no answer
"""
_LIFT = """examples:
  ripstop stop lift NAME "it was steam" --key ann.key --to lift-ann.token
  ripstop stop lift NAME "it was steam" --data ripstop-data --send

Signs that the latch NAME may go. It takes two signatures by different release keys, in any order, each
handed over with `ripstop stop send`; with one the stop holds. NAME is printed by `sign` and `show`, and
stands in the ledger of every agent that is stopped (`stop.latched`). A name that was lifted cannot be used
again.

exit codes: 0 signed, with --send: lifted, 1 refused, or a signature is missing, 2 usage, configuration or
no answer
"""
_SHOW = """examples:
  ripstop stop show stop.token
  ripstop stop show stop.token --json
  ripstop stop show stop.token --data ripstop-data

Says what a token says. Whether its signature holds is checked with --data, against the keys of a `ripstop
up` here; without it nothing is checked.

exit codes: 0 shown, 1 it does not hold, 2 usage or configuration
"""
_SEND = """examples:
  ripstop stop send stop.token --data ripstop-data
  ripstop stop send lift-ann.token lift-bea.token --data ripstop-data
  ripstop stop send stop.token --agent ripstop-agents/drone-42
  ripstop stop send stop.token --data ripstop-data --dry-run

Hands tokens to the `ripstop up` that runs on DATA, which checks them, sends them to its fleet and keeps
them in its record: an agent that is away is told when it comes back. With --agent they are laid into the
folder of an agent on this machine instead, which takes them without any ground (`ripstop agent`, `ripstop
sidecar --keys`). Printed is who answered within --wait seconds. A stop signed longer ago than --max-age
hours is not sent: it would stop whoever has not heard of it yet.

exit codes: 0 in effect wherever somebody answered, 1 refused, or a signature is missing, 2 usage,
configuration or no answer
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = add_command(subparsers, "stop", "sign, show and send stops, and what lifts them", _EPILOG)
    verbs = add_verbs(parser)
    key = add_command(verbs, "key", "make a person's key", _KEY)
    key.add_argument("name", metavar="NAME", help="whose it is")
    key.add_argument("--role", choices=("release", "stop"), default="release", help="what it may sign")
    key.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="where (default: here)")
    add_json(key, "private, public, role, key_id")
    key.set_defaults(func=run_key)
    sign = add_command(verbs, "sign", "sign a stop", _SIGN)
    _add_reason(sign)
    sign.add_argument("--agent", default="", metavar="NAME", help="only this one (default: the whole fleet)")
    sign.add_argument("--name", default="", help="of the latch (default: one that is drawn)")
    _add_signing(sign, "stop")
    sign.set_defaults(func=run_sign)
    lift = add_command(verbs, "lift", "sign that a stop may end", _LIFT)
    lift.add_argument("name", metavar="NAME", help="of the latch")
    _add_reason(lift)
    _add_signing(lift, "release")
    lift.set_defaults(func=run_lift)
    show = add_command(verbs, "show", "say what a token says", _SHOW)
    show.add_argument("token", type=source, metavar="FILE", help="the token's file")
    show.add_argument("--data", type=Path, metavar="DIR", help="data folder of a `ripstop up`, for its keys")
    add_json(show, "kind, fleet, scope, name, reason, issued_us, key_id, holds, why")
    show.set_defaults(func=run_show)
    send = add_command(verbs, "send", "hand tokens to a running fleet, or to one agent", _SEND)
    send.add_argument("tokens", nargs="+", type=source, metavar="FILE", help="tokens' files")
    where = send.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--data", type=Path, metavar="DIR", help="data folder of the `ripstop up` that runs here"
    )
    where.add_argument("--agent", type=Path, metavar="DIR", help="folder of an agent on this machine")
    _add_sending(send)
    send.add_argument("--dry-run", action="store_true", help="check only, send nothing")
    add_json(send, "tokens: [kind, name, scope, refused, signatures, in_effect, answers, silent, away]")
    send.set_defaults(func=run_send)


def _add_reason(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reason", metavar="REASON", help="for people, and for the record")


def _add_signing(parser: argparse.ArgumentParser, role: str) -> None:
    parser.add_argument("--key", type=Path, metavar="FILE", help=f"private key of the role {role}")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="data folder of a `ripstop up`: key and fleet"
    )
    parser.add_argument(
        "--fleet", default="", help="the fleet's name (default: that of --data, else `fleet`)"
    )
    parser.add_argument("--to", type=Path, metavar="FILE", help="write the token there (default: print it)")
    parser.add_argument("--send", action="store_true", help="hand it to the `ripstop up` on --data at once")
    _add_sending(parser)
    add_json(parser, "kind, name, fleet, scope, key_id, token, with --send also what `send` prints")


def _add_sending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=number(0, 600), default=3.0, metavar="S", help="for answers (default 3 s)"
    )
    parser.add_argument(
        "--max-age", type=number(0), default=24.0, metavar="H", help="of a stop, in hours (default 24)"
    )


# ---- keys and signatures -----------------------------------------------------------------------------------


def run_key(args: argparse.Namespace) -> int:
    """Make a key, and write its halves."""
    from ripstop.core.files import PRIVATE, write_once
    from ripstop.core.subjects import check_id
    from ripstop.core.wire.envelope import Ed25519Signer, Role

    seed, role = secrets.token_bytes(32), Role(args.role)
    signer = Ed25519Signer(seed, role)
    private = args.folder / f"{check_id(args.name)}.key"
    public = args.folder / f"{role.value}-{args.name}.pub"
    with _writing(private):
        args.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(private, f"{seed.hex()}\n".encode(), PRIVATE)
        write_once(public, f"{signer.public.hex()}\n".encode())
    told = {
        "private": str(private), "public": str(public), "role": role.value, "key_id": signer.key_id.hex(),
    }  # fmt: skip
    if args.json:
        print_json(told)
    else:
        print(f"{private} signs as {role.value}, key {signer.key_id.hex()}: keep it to yourself")
        print(f"{public} goes into `keys/` of the ground's data folder; then start `ripstop up` anew")
    return 0


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"`{path}` cannot be written: {reason}", code="C0245") from error


def run_sign(args: argparse.Namespace) -> int:
    """Sign a stop."""
    from ripstop.core.clock import SystemClock
    from ripstop.core.messages import StopOrder
    from ripstop.core.subjects import check_id
    from ripstop.core.wire.envelope import Role
    from ripstop.core.wire.token import sign_stop

    scope = f"agent-{check_id(args.agent)}" if args.agent else "fleet"
    name = check_id(args.name or f"stop-{secrets.token_hex(4)}")
    order = StopOrder(name, scope, args.reason, SystemClock().now().wall_us)
    return _signed(args, sign_stop(_signer(args, Role.STOP), _fleet(args), order))


def run_lift(args: argparse.Namespace) -> int:
    """Sign that a latch may go."""
    from ripstop.core.messages import StopLift
    from ripstop.core.wire.envelope import Role
    from ripstop.core.wire.token import sign_lift

    lift = StopLift(args.name, args.reason)
    return _signed(args, sign_lift(_signer(args, Role.RELEASE), _fleet(args), lift))


def _signer(args: argparse.Namespace, role: Role) -> Ed25519Signer:
    from ripstop.core.wire.keyfile import read_signer

    if args.send and args.data is None:
        raise ConfigurationError(
            "`--send` hands the token to a running `ripstop up`",
            code="C0246",
            hint="name its folder with --data",
        )
    if args.key is None and args.data is None:
        raise ConfigurationError(
            f"no key of the role {role.value} to sign with", code="C0246",
            hint="give --key, or --data with the folder of a `ripstop up`",
        )  # fmt: skip
    return read_signer(args.key or args.data / "keys" / f"{role.value}.key", role)


def _fleet(args: argparse.Namespace) -> str:
    from ripstop.core.subjects import check_id

    if args.fleet or args.data is None:
        return check_id(args.fleet or "fleet")
    from ripstop.cli.stopsending import fleet_of

    return fleet_of(args.data)


def _signed(args: argparse.Namespace, token: bytes) -> int:
    """Say what was signed, write it down, and hand it over where that is asked for."""
    from ripstop.core.wire.token import read_token, to_text

    said, text = read_token(token), to_text(token)
    if args.to is not None:
        with _writing(args.to):
            args.to.write_text(f"{text}\n")
    told: dict[str, object] = {**_told(said), "token": text}
    if not args.json:
        print(_line(said))
        if args.to is not None:
            print(f"written to {args.to}")
        elif not args.send:
            print(text)
    if not args.send:
        if args.json:
            print_json(told)
        return 0
    from ripstop.cli.stopsending import send_to_ground

    (sent,) = send_to_ground([token], args.data, args.wait, args.max_age)
    if args.json:
        print_json({**told, **sent.to_json()})
    else:
        sent.print()
    return 0 if sent.is_in_effect else 1


# ---- showing and sending -----------------------------------------------------------------------------------


def run_show(args: argparse.Namespace) -> int:
    """Say what a token says, and whether it holds."""
    from ripstop.core.errors import WireError
    from ripstop.core.wire.token import open_token, read_token

    token = _read(args.token)
    said, why, holds = read_token(token), "", None
    if args.data is not None:
        from ripstop.cli.stopsending import fleet_of, keys_of

        try:
            open_token(keys_of(args.data), fleet_of(args.data), token)
            holds = True
        except WireError as error:
            holds, why = False, f"{error.code}: {error.message}"
    if args.json:
        print_json({**_told(said), "holds": holds, "why": why})
    else:
        print(_line(said))
        print(f"  reason     {printable(said.reason)}")
        print(f"  signed by  {said.key_id.hex()}{_when(said)}")
        print(f"  signature  {'holds' if holds else why or 'not checked: --data names whose keys count'}")
    return 1 if holds is False else 0


def run_send(args: argparse.Namespace) -> int:
    """Hand tokens over, and say who took them."""
    from ripstop.cli.stopsending import check_only, send_to_agent, send_to_ground

    tokens = [_read(path) for path in args.tokens]
    if args.dry_run:
        results = check_only(tokens, args.data, args.max_age)
    elif args.data is not None:
        results = send_to_ground(tokens, args.data, args.wait, args.max_age)
    else:
        results = send_to_agent(tokens, args.agent, args.wait, args.max_age)
    if args.json:
        print_json({"tokens": [result.to_json() for result in results]})
    else:
        for result in results:
            print(_line(result.said))
            result.print()
    # of several signatures to lift one latch the last tells whether it is lifted
    last = {(result.said.is_lift, result.said.id): result for result in results}
    return 1 if any(result.refused for result in results) or not all(r.is_fine for r in last.values()) else 0


def _read(path: str) -> bytes:
    from ripstop.core.wire.token import LONGEST, from_text

    try:
        with Path(path).open("rb") as file:
            return from_text(file.read(LONGEST).decode("ascii", "replace"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"`{path}` cannot be read: {reason}", code="C0008") from error


def _told(said: Token) -> dict[str, object]:
    return {
        "kind": "lift" if said.is_lift else "stop",
        "fleet": said.fleet,
        "scope": said.scope,
        "name": said.id,
        "reason": said.reason,
        "issued_us": said.issued_us or None,
        "key_id": said.key_id.hex(),
    }


def _line(said: Token) -> str:
    name = printable(said.id)
    if said.is_lift:
        return f"one signature to lift `{name}` in fleet `{printable(said.fleet)}`"
    whom = (
        f"agent `{printable(said.scope.removeprefix('agent-'))}`" if said.scope != "fleet" else "all agents"
    )
    return f"stop `{name}` of {whom} in fleet `{printable(said.fleet)}`"


def _when(said: Token) -> str:
    from datetime import UTC, datetime

    if said.is_lift:
        return ""
    try:
        return f", {datetime.fromtimestamp(said.issued_us / 1e6, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f", at {said.issued_us} us"
