"""The signed envelope: COSE_Sign1 (RFC 9052) with Ed25519 over deterministic CBOR, and who may sign what.

Layout: tag 18, [protected {1: -8, 4: key id}, {}, payload, signature]. The payload is the array
[version, type, fleet, scope, role, epoch, generation, tick, body]. Bytes that do not re-encode to themselves
are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache, lru_cache
from typing import Protocol

from ripstop.core.value import dataclass

from ..errors import WireError, missing_extra
from .cbor import Value, decode, encode
from .record import pack, unpack

_TAG = b"\xd2"
_ALGORITHM, _KEY_ID, _EDDSA = 1, 4, -8
_SIGNATURE_BYTES, _KEY_BYTES, _KEY_ID_BYTES = 64, 32, 8
VERSION = 1


class Role(Enum):
    """What a key may do; roles are disjoint."""

    COMMAND = "command"
    RELEASE = "release"
    STOP = "stop"
    AGENT = "agent"


class EnvelopeType(Enum):
    """What the body of an envelope is."""

    INTENT = "intent"
    TICK = "tick"
    RECEIPT = "receipt"
    BUNDLE = "bundle"
    SEGMENT = "segment"
    STOP = "stop"
    LIFT = "lift"
    CHECKPOINT = "checkpoint"


# INVARIANT: a type is signed by exactly one role; an agent's key never commands.
ROLE_OF = {
    EnvelopeType.INTENT: Role.COMMAND,
    EnvelopeType.TICK: Role.COMMAND,
    EnvelopeType.RECEIPT: Role.COMMAND,
    EnvelopeType.BUNDLE: Role.RELEASE,
    EnvelopeType.SEGMENT: Role.AGENT,
    EnvelopeType.STOP: Role.STOP,
    EnvelopeType.LIFT: Role.RELEASE,
    EnvelopeType.CHECKPOINT: Role.COMMAND,
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was signed, after its signature, role and fleet were checked."""

    type: EnvelopeType
    fleet: str
    scope: str
    key_id: bytes
    role: Role
    epoch: int
    generation: int
    tick: int
    body: bytes


@dataclass(frozen=True, slots=True)
class _Payload:
    version: int
    type: EnvelopeType
    fleet: str
    scope: str
    role: Role
    epoch: int
    generation: int
    tick: int
    body: bytes


def key_id_of(public: bytes) -> bytes:
    """Give the id of a key that was given none of its own: how its public half begins."""
    return public[:_KEY_ID_BYTES]


class Signer(Protocol):
    """Holds one private key."""

    key_id: bytes
    role: Role

    def sign(self, data: bytes) -> bytes:
        """Sign with Ed25519."""
        ...


class Ed25519Signer:
    """A private key in memory (extra `signed`)."""

    def __init__(self, seed: bytes, role: Role, key_id: bytes = b"") -> None:
        try:
            from nacl.signing import SigningKey
        except ImportError as error:
            raise missing_extra("pynacl", "signed") from error
        self._key = SigningKey(seed)
        self.public = bytes(self._key.verify_key)
        self.role = role
        self.key_id = key_id or key_id_of(self.public)

    def sign(self, data: bytes) -> bytes:
        """Sign with Ed25519."""
        return self._key.sign(data).signature


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and the one role that it has."""

    public: bytes
    role: Role


@cache
def _ed25519() -> tuple[Callable[[bytes, bytes], bytes], type[Exception]]:
    """Give what opens a text that follows its signature, and what it raises where they do not fit."""
    try:
        from nacl.bindings import crypto_sign_open
        from nacl.exceptions import BadSignatureError
    except ImportError as error:
        raise missing_extra("pynacl", "signed") from error
    return crypto_sign_open, BadSignatureError


class Keyring:
    """The public keys that a node trusts, by key id."""

    def __init__(self, keys: Mapping[bytes, TrustedKey]) -> None:
        self._keys = dict(keys)

    @classmethod
    def of(cls, keys: Iterable[TrustedKey]) -> Keyring:
        """Trust keys that were given no ids of their own."""
        return cls({key_id_of(key.public): key for key in keys})

    def role(self, key_id: bytes) -> Role:
        """Give the role of a key.

        Raises:
            WireError: W0202 for a key that is not trusted.
        """
        if key_id not in self._keys:
            raise WireError(f"key `{key_id.hex()}` is not trusted", code="W0202")
        return self._keys[key_id].role

    def verify(self, key_id: bytes, signature: bytes, data: bytes) -> None:
        """Check an Ed25519 signature.

        Raises:
            WireError: W0203 where it does not fit.
            ConfigurationError: C0001 without the extra `signed`: never taken unsigned.
        """
        opened, misfit = _ed25519()
        public = self._keys[key_id].public
        try:
            # INVARIANT: both have their length; libsodium reads as many bytes, whatever is there.
            if len(signature) == _SIGNATURE_BYTES and len(public) == _KEY_BYTES:
                opened(signature + data, public)
                return
        except misfit as error:
            raise WireError("signature does not fit", code="W0203") from error
        raise WireError("signature does not fit", code="W0203")


@dataclass(frozen=True, slots=True)
class Header:
    """Where a message belongs: fleet and scope, authority and tick."""

    fleet: str
    scope: str
    epoch: int = 0
    generation: int = 0
    tick: int = 0


def seal(signer: Signer, kind: EnvelopeType, header: Header, body: bytes) -> bytes:
    """Sign a body into an envelope."""
    payload = pack(
        _Payload(
            VERSION, kind, header.fleet, header.scope, signer.role,
            header.epoch, header.generation, header.tick, body,
        )
    )  # fmt: skip
    protected = encode({_ALGORITHM: _EDDSA, _KEY_ID: signer.key_id})
    signature = signer.sign(_to_be_signed(protected, payload))
    return _TAG + encode([protected, {}, payload, signature])


def read_unchecked(data: bytes) -> Envelope:
    """Give what an envelope says *without* checking who signed it: for showing it to people.

    Raises:
        WireError: W0101, W0102, W0201: it does not have the form of one.
    """
    signed = _read(data)
    said = _content(signed.payload)
    return Envelope(
        said.type, said.fleet, said.scope, signed.key_id, said.role,
        said.epoch, said.generation, said.tick, said.body,
    )  # fmt: skip


def open_envelope(keyring: Keyring, fleet: str, kind: EnvelopeType, data: bytes) -> Envelope:
    """Check an envelope whole and give what it holds.

    Raises:
        WireError: W0101/W0102 malformed, W0201 wrong shape, W0202 unknown key, W0203 forged,
            W0204 wrong role, W0205 another fleet's, W0206 another type.
    """
    signed = _read(data)
    key_id = signed.key_id
    role = keyring.role(key_id)
    keyring.verify(key_id, signed.signature, signed.text)
    content = _content(signed.payload)
    if content.version != VERSION:
        raise WireError(f"version {content.version} is not known", code="W0201")
    if content.type is not kind:
        raise WireError(f"expected `{kind.value}`, got `{content.type.value}`", code="W0206")
    if role is not content.role or role is not ROLE_OF[kind]:
        raise WireError(f"a key with role `{role.value}` may not sign `{kind.value}`", code="W0204")
    if content.fleet != fleet:
        raise WireError(f"meant for fleet `{content.fleet}`", code="W0205")
    return Envelope(
        kind,
        fleet,
        content.scope,
        key_id,
        role,
        content.epoch,
        content.generation,
        content.tick,
        content.body,
    )


@dataclass(frozen=True, slots=True)
class _Signed:
    """An envelope taken apart and not yet checked: `text` is what the signature is over."""

    key_id: bytes
    signature: bytes
    payload: bytes
    text: bytes


# Nodes of one process are often handed the same bytes: taking them apart is pure, so it is done once.
# Each still checks the signature for itself.
@lru_cache(maxsize=64)
def _read(data: bytes) -> _Signed:
    protected, payload, signature = _parts(data)
    return _Signed(_key_id(protected), signature, payload, _to_be_signed(protected, payload))


@lru_cache(maxsize=64)
def _content(payload: bytes) -> _Payload:
    return unpack(_Payload, payload)


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052, section 4.4."""
    return encode(["Signature1", protected, b"", payload])


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    if data[:1] != _TAG:
        raise WireError("not a COSE_Sign1 message", code="W0201")
    value = decode(data[1:])
    match value:
        case [bytes() as protected, dict() as unprotected, bytes() as payload, bytes() as signature]:
            if unprotected:
                raise WireError("unprotected headers are not allowed", code="W0201")
            return protected, payload, signature
    raise WireError("not a COSE_Sign1 message", code="W0201")


def _key_id(protected: bytes) -> bytes:
    header: Value = decode(protected)
    match header:
        case {1: -8, 4: bytes() as key_id} if isinstance(header, Mapping) and len(header) == 2:
            return key_id
    raise WireError("protected header is not {alg: EdDSA, kid}", code="W0201")
