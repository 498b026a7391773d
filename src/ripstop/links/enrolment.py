"""How a device joins a fleet: a one-time token binds the keys that the device made itself.

A token is `<fleet>.<door>.<secret>`. The door opens the server's `enrol` user, which can only ask. The
secret never crosses the wire: device and ground each show by an HMAC that they know it, so neither a stranger
can enrol nor a false server hand out keys of its own. A token works once; the same device may repeat its
request (its first answer may have been lost), another one may not.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.clock import Clock, SystemClock
from ..core.errors import ConfigurationError, RipstopError, WireError
from ..core.wire.envelope import Role, TrustedKey
from ..core.wire.record import pack, unpack
from .identity import Identity, write_private
from .nats import Login, NatsLink
from .permissions import enrol_subject
from .server import NatsServer

log = logging.getLogger(__name__)
_FIRST_S, _ANEW_S = 10.0, 3.0  # how long a server is waited for: a device that has joined can go on without


@dataclass(frozen=True, slots=True)
class Request:
    """A device's wish to be enrolled: the token's number, its id and its two public keys."""

    token: bytes
    agent: str
    nkey: str
    signing_key: bytes


@dataclass(frozen=True, slots=True)
class FleetKey:
    """A public key of the fleet and its role."""

    public: bytes
    role: Role


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ground answers: the keys that command the fleet, or why not."""

    fleet: str
    reason: str
    keys: tuple[FleetKey, ...]


@dataclass(frozen=True, slots=True)
class _Sealed:
    body: bytes
    mac: bytes


def _key(secret: str) -> bytes:
    return hashlib.sha256(b"ripstop enrolment\x00" + secret.encode()).digest()


def _number(key: bytes) -> bytes:
    return hashlib.sha256(b"number\x00" + key).digest()[:16]


def _seal(key: bytes, way: bytes, record: object) -> bytes:
    body = pack(record)
    return pack(_Sealed(body, hmac.digest(key, way + body, "sha256")))


def _body(data: bytes) -> tuple[bytes, bytes]:
    sealed = unpack(_Sealed, data)
    return sealed.body, sealed.mac


def _check(key: bytes, way: bytes, body: bytes, mac: bytes) -> None:
    if not hmac.compare_digest(mac, hmac.digest(key, way + body, "sha256")):
        raise WireError("enrolment is not by one who knows the token", code="W0804")


_ONE_DEVICE = "a token lets one device in; `ripstop up` prints the next one as soon as it is used"
_UP, _DOWN = b"up\x00", b"down\x00"


class EnrolmentDesk:
    """The ground's side: issues tokens, checks requests, lets devices into the server.

    `keys` are the public keys that devices are to trust. `on_enrolled(agent, signing key)` is called for each
    device let in. Tokens and signing keys are kept beside the server's files.
    """

    def __init__(
        self,
        server: NatsServer,
        keys: Sequence[TrustedKey],
        *,
        on_enrolled: Callable[[str, bytes], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._server = server
        self._keys = tuple(FleetKey(key.public, key.role) for key in keys)
        self._on_enrolled = on_enrolled
        self._clock = clock or SystemClock()
        self._path = server.folder / "enrolment.json"
        self._tokens: dict[str, dict[str, str]] = {}
        self._signing: dict[str, str] = {}
        self._turns: dict[str, asyncio.Lock] = {}  # by token
        if self._path.exists():
            try:
                held = json.loads(self._path.read_text())
                self._tokens, self._signing = dict(held["tokens"]), dict(held["signing"])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ConfigurationError(
                    f"`{self._path}` does not hold tokens and devices", code="C0507",
                    hint="restore it from a backup: it is all that tells whose key is whose",
                ) from error  # fmt: skip

    @property
    def signing_keys(self) -> Mapping[str, bytes]:
        """The public signing keys of the enrolled devices, by agent id."""
        return {agent: bytes.fromhex(key) for agent, key in self._signing.items()}

    def issue(self, valid_s: float = 86_400.0) -> str:
        """Make a token that lets one device in, within `valid_s`."""
        secret = secrets.token_urlsafe(24)
        key = _key(secret)
        expires_us = self._clock.now().wall_us + round(valid_s * 1e6)
        self._tokens[_number(key).hex()] = {"key": key.hex(), "expires_us": str(expires_us), "used_by": ""}
        self._save()
        return f"{self._server.fleet}.{self._server.login('enrol').password}.{secret}"

    async def answer(self, data: bytes) -> bytes:
        """Answer a request; serve this on `permissions.enrol_subject(fleet)`.

        Whoever does not know a token gets nothing.
        """
        try:
            body, mac = _body(data)
            request = unpack(Request, body)
            key = self._key_of(request.token)
            _check(key, _UP, body, mac)
        except WireError as error:
            log.warning("enrolment.ignored", extra={"reason": error.message})
            return b""
        try:
            number = request.token.hex()
            async with self._turns.setdefault(number, asyncio.Lock()):  # who asks with it meanwhile waits
                await self._let_in(request, self._tokens[number])
        except RipstopError as error:
            log.warning("enrolment.refused", extra={"agent": request.agent, "reason": error.message})
            return _seal(key, _DOWN, Answer(self._server.fleet, error.message, ()))
        return _seal(key, _DOWN, Answer(self._server.fleet, "", self._keys))

    def _key_of(self, number: bytes) -> bytes:
        token = self._tokens.get(number.hex())
        if token is None:
            raise WireError("enrolment token is not known", code="W0804")
        return bytes.fromhex(token["key"])

    async def _let_in(self, request: Request, token: dict[str, str]) -> None:
        user = f"{request.agent} {request.nkey} {request.signing_key.hex()}"
        if token["used_by"] == user:
            return
        if token["used_by"]:
            raise WireError("this token was used by another device", code="W0804")
        if self._clock.now().wall_us > int(token["expires_us"]):
            raise WireError("this token has expired", code="W0804")
        if len(request.signing_key) != 32:
            raise WireError("signing key is not an Ed25519 key", code="W0804")
        await self._server.add_agents({request.agent: request.nkey})
        token["used_by"] = user
        self._signing[request.agent] = request.signing_key.hex()
        self._save()
        if self._on_enrolled is not None:
            self._on_enrolled(request.agent, request.signing_key)

    def _save(self) -> None:
        write_private(self._path, json.dumps({"tokens": self._tokens, "signing": self._signing}))


async def enrol(address: str, token: str, agent: str, path: Path, *, renews: bool = False) -> Identity:
    """Enrol this device under an id, or give the identity that an earlier call left in `path`.

    The keys are made here and written to `path` before anything is asked, so that a lost answer costs
    nothing: the same call asks again with the same keys.

    Args:
        address: of the server.
        token: lets one device in.
        agent: the id.
        path: of the identity.
        renews: ask though it is enrolled: the fleet's keys may have been exchanged since. Where the ground
            does not answer, or refuses, the identity stays as it is.

    Raises:
        ConfigurationError: C0501 where the server cannot be reached or knows no such door, C0508 where the
            ground refuses (its reason in the text) or the token does not have the form of one.
    """
    known = _held(path, agent)
    if known is not None and known.is_enrolled:
        return await _renewed(known, address, token, path) if renews else known
    return await _ask(known, address, token, agent, path)


async def _renewed(known: Identity, address: str, token: str, path: Path) -> Identity:
    try:
        return await _ask(known, address, token, known.agent, path)
    except ConfigurationError as error:
        log.warning("enrolment.kept", extra={"agent": known.agent, "reason": error.message})
        return known


async def _ask(known: Identity | None, address: str, token: str, agent: str, path: Path) -> Identity:
    fleet, door, secret = _parse(token)  # before keys are made: a mistyped one leaves nothing behind
    identity = known or _made(path, agent, address)
    key = _key(secret)
    request = Request(_number(key), agent, identity.public_nkey(), identity.signer().public)
    link = NatsLink(address, Login("enrol", user="enrol", password=door))
    link.start((), lambda event: None)
    try:
        await link.connected(_ANEW_S if known is not None and known.is_enrolled else _FIRST_S)
        body, mac = _body(await link.request(enrol_subject(fleet), _seal(key, _UP, request)))
        _check(key, _DOWN, body, mac)
    except WireError as error:
        raise ConfigurationError(
            "the ground does not answer the enrolment", code="C0508", hint="is the token right and unused"
        ) from error
    finally:
        await link.close()
    answer = unpack(Answer, body)
    if answer.reason:
        raise ConfigurationError(
            f"enrolment of `{agent}` refused: {answer.reason}",
            code="C0508",
            hint=_ONE_DEVICE if "token" in answer.reason else "choose another name, or bring its own keys",
        )
    trusted = tuple(TrustedKey(item.public, item.role) for item in answer.keys)
    identity = replace(identity, fleet=answer.fleet, address=address, trusted=trusted)
    identity.save(path)
    return identity


def _held(path: Path, agent: str) -> Identity | None:
    """Give the identity in a file, None where there is no file."""
    if not path.exists():
        return None
    identity = Identity.load(path)
    if identity.agent != agent:
        raise ConfigurationError(f"`{path}` belongs to agent `{identity.agent}`", code="C0508")
    return identity


def _made(path: Path, agent: str, address: str) -> Identity:
    """Give a new identity, written to a file."""
    identity = Identity.make(agent, address)
    identity.save(path)
    return identity


def _parse(token: str) -> tuple[str, str, str]:
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise ConfigurationError(
            "this is not an enrolment token", code="C0508", hint="`ripstop up` prints one"
        )
    return parts[0], parts[1], parts[2]
