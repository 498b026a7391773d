"""Stop tokens, and signatures that lift them, as people hand them on: one line of text; and what they say.

The text is the envelope's bytes in base64 (RFC 4648, section 4).
"""

from __future__ import annotations

import base64
import binascii

from ripstop.core.value import dataclass

from ..errors import WireError
from ..messages import StopLift, StopOrder
from .envelope import (
    Ed25519Signer,
    Envelope,
    EnvelopeType,
    Header,
    Keyring,
    open_envelope,
    read_unchecked,
    seal,
)
from .record import pack, unpack

LONGEST = 16 << 10  # of the text


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says: a stop of `scope`, or one signature (`is_lift`) that the latch `id` may go."""

    is_lift: bool
    fleet: str
    scope: str
    key_id: bytes
    id: str
    reason: str
    issued_us: int = 0


def sign_stop(signer: Ed25519Signer, fleet: str, order: StopOrder) -> bytes:
    """Sign a stop."""
    return seal(signer, EnvelopeType.STOP, Header(fleet, order.scope), pack(order))


def sign_lift(signer: Ed25519Signer, fleet: str, lift: StopLift) -> bytes:
    """Sign that a latch may go; agents take it from two different keys."""
    return seal(signer, EnvelopeType.LIFT, Header(fleet, "fleet"), pack(lift))


def to_text(token: bytes) -> str:
    """Give a token as a line of text."""
    return base64.b64encode(token).decode()


def from_text(text: str) -> bytes:
    """Read a token's text; blanks and line breaks in it do no harm.

    Raises:
        WireError: W0905 where it is none.
    """
    try:
        token = base64.b64decode("".join(text[:LONGEST].split()), validate=True)
    except (ValueError, binascii.Error):
        token = b""
    if not token:
        raise WireError("not the text of a token", code="W0905")
    return token


def read_token(token: bytes) -> Token:
    """Give what a token says, *without* checking its signature.

    Raises:
        WireError: W0101, W0102, W0201: it does not have the form of one; W0905: it is something else.
    """
    return _said(read_unchecked(token))


def open_token(keyring: Keyring, fleet: str, token: bytes) -> Token:
    """Check a token and give what it says.

    Raises:
        WireError: what opening an envelope raises; W0902 where it disagrees with its envelope.
    """
    said = read_token(token)
    open_envelope(keyring, fleet, EnvelopeType.LIFT if said.is_lift else EnvelopeType.STOP, token)
    return said


def _said(envelope: Envelope) -> Token:
    fleet, scope, key_id = envelope.fleet, envelope.scope, envelope.key_id
    if envelope.type is EnvelopeType.LIFT:
        lift = unpack(StopLift, envelope.body)
        return Token(True, fleet, scope, key_id, lift.id, lift.reason)
    if envelope.type is not EnvelopeType.STOP:
        raise WireError(f"expected a stop or a lift, got `{envelope.type.value}`", code="W0905")
    order = unpack(StopOrder, envelope.body)
    if order.scope != scope or not order.id or order.id.startswith("local-"):
        raise WireError("a stop token disagrees with its envelope", code="W0902")
    return Token(False, fleet, scope, key_id, order.id, order.reason, order.issued_us)
