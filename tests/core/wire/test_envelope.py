"""Envelopes: what is forged, foreign, of another role or form is refused, each with its own code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import WireError
from ripstop.core.wire.cbor import decode, encode
from ripstop.core.wire.envelope import (
    ROLE_OF,
    Ed25519Signer,
    Envelope,
    EnvelopeType,
    Header,
    Keyring,
    Role,
    TrustedKey,
    open_envelope,
    seal,
)

SIGNERS = {role: Ed25519Signer(bytes([number]) * 32, role) for number, role in enumerate(Role)}
COMMAND = SIGNERS[Role.COMMAND]
RING = Keyring({signer.key_id: TrustedKey(signer.public, role) for role, signer in SIGNERS.items()})
HEADER = Header("city", "fleet", epoch=3, generation=7, tick=42)
SEALED = seal(COMMAND, EnvelopeType.INTENT, HEADER, b"body")


def code_of(
    data: bytes, kind: EnvelopeType = EnvelopeType.INTENT, fleet: str = "city", ring: Keyring = RING
) -> str:
    with pytest.raises(WireError) as caught:
        open_envelope(ring, fleet, kind, data)
    return caught.value.code


def resealed(change: Callable[[list[object]], None], signer: Ed25519Signer = COMMAND) -> bytes:
    """Change the payload and sign it properly again."""
    parts = decode(SEALED[1:])
    assert isinstance(parts, list)
    payload = decode(parts[2])
    assert isinstance(payload, list)
    change(payload)
    protected = encode({1: -8, 4: signer.key_id})
    octets = encode(payload)  # type: ignore[arg-type]
    signature = signer.sign(encode(["Signature1", protected, b"", octets]))
    return b"\xd2" + encode([protected, {}, octets, signature])


def test_what_was_sealed_opens_to_what_was_said() -> None:
    assert open_envelope(RING, "city", EnvelopeType.INTENT, SEALED) == Envelope(
        EnvelopeType.INTENT, "city", "fleet", COMMAND.key_id, Role.COMMAND, 3, 7, 42, b"body"
    )


def test_it_is_cose_sign1_that_another_library_verifies() -> None:
    # RFC 9052, section 4.2 and 4.4, taken apart by hand.
    assert SEALED[0] == 0xD2
    protected, unprotected, payload, signature = decode(SEALED[1:])  # type: ignore[misc]
    assert decode(protected) == {1: -8, 4: COMMAND.key_id}  # type: ignore[arg-type]
    assert unprotected == {}
    signed = encode(["Signature1", protected, b"", payload])
    Ed25519PublicKey.from_public_bytes(COMMAND.public).verify(signature, signed)  # type: ignore[arg-type]


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, flip: int) -> None:
    forged = bytearray(SEALED)
    forged[at] ^= flip
    code_of(bytes(forged))


@given(st.integers(0, len(SEALED) - 1))
def test_a_cut_envelope_is_refused(length: int) -> None:
    assert code_of(SEALED[:length]) in {"W0101", "W0201"}


def test_additional_bytes_are_refused() -> None:
    assert code_of(SEALED + b"\x00") == "W0101"


def test_an_unknown_key_is_refused_even_with_a_good_signature() -> None:
    stranger = Ed25519Signer(b"s" * 32, Role.COMMAND)
    assert code_of(seal(stranger, EnvelopeType.INTENT, HEADER, b"")) == "W0202"


def test_a_stranger_who_names_a_trusted_key_is_refused() -> None:
    liar = Ed25519Signer(b"s" * 32, Role.COMMAND, key_id=COMMAND.key_id)
    assert code_of(seal(liar, EnvelopeType.INTENT, HEADER, b"")) == "W0203"


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(WireError) as caught:
        RING.verify(COMMAND.key_id, b"s" * length, b"text")
    assert caught.value.code == "W0203"


def test_a_trusted_key_of_another_length_opens_nothing() -> None:
    ring = Keyring({COMMAND.key_id: TrustedKey(COMMAND.public[:8], Role.COMMAND)})
    with pytest.raises(WireError) as caught:
        ring.verify(COMMAND.key_id, COMMAND.sign(b"text"), b"text")
    assert caught.value.code == "W0203"


@pytest.mark.parametrize("kind", EnvelopeType)
@pytest.mark.parametrize("role", Role)
def test_each_type_is_signed_by_its_one_role_only(kind: EnvelopeType, role: Role) -> None:
    sealed = seal(SIGNERS[role], kind, HEADER, b"")
    if ROLE_OF[kind] is role:
        assert open_envelope(RING, "city", kind, sealed).role is role
    else:
        assert code_of(sealed, kind) == "W0204"


def test_an_agents_key_that_claims_to_command_is_refused() -> None:
    claim = Ed25519Signer(bytes([list(Role).index(Role.AGENT)]) * 32, Role.COMMAND)
    assert code_of(seal(claim, EnvelopeType.INTENT, HEADER, b"")) == "W0204"


def test_a_message_of_another_fleet_or_type_is_refused() -> None:
    assert code_of(SEALED, fleet="other") == "W0205"
    assert code_of(SEALED, EnvelopeType.TICK) == "W0206"
    assert code_of(seal(COMMAND, EnvelopeType.TICK, HEADER, b"")) == "W0206"


def test_another_version_is_refused() -> None:
    def raise_version(payload: list[object]) -> None:
        payload[0] = 2

    assert code_of(resealed(raise_version)) == "W0201"


def test_a_payload_with_another_shape_is_refused() -> None:
    assert code_of(resealed(lambda payload: payload.append(0))) == "W0102"
    assert code_of(resealed(lambda payload: payload.pop())) == "W0102"

    def negative(payload: list[object]) -> None:
        payload[5] = "3"

    assert code_of(resealed(negative)) == "W0102"


def test_the_same_content_in_other_bytes_is_refused_although_it_is_signed() -> None:
    protected, _, payload, _ = decode(SEALED[1:])  # type: ignore[misc]
    # The payload's version number 1 in two bytes instead of one.
    longer = payload[:1] + b"\x18\x01" + payload[2:]  # type: ignore[index, operator]
    signature = COMMAND.sign(encode(["Signature1", protected, b"", longer]))
    assert code_of(b"\xd2" + encode([protected, {}, longer, signature])) == "W0101"


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"", {}, b""],
        [b"", {}, b"", b"", b""],
        ["", {}, b"", b""],
        [b"", [], b"", b""],
        [b"", {1: 2}, b"", b""],
        [encode({1: -8}), {}, b"", b""],
        [encode({1: -7, 4: b"k"}), {}, b"", b""],
        [encode({1: -8, 4: "k"}), {}, b"", b""],
        [encode({1: -8, 2: [], 4: b"k"}), {}, b"", b""],
        [encode([]), {}, b"", b""],
    ],
)
def test_other_shapes_are_refused(parts: list[object]) -> None:
    assert code_of(b"\xd2" + encode(parts)) == "W0201"  # type: ignore[arg-type]


def test_an_untagged_message_is_refused() -> None:
    assert code_of(SEALED[1:]) == "W0201"
    assert code_of(b"") == "W0201"


@given(st.binary(max_size=120))
def test_hostile_bytes_are_refused_with_a_wire_error(data: bytes) -> None:
    code_of(data)
    code_of(b"\xd2" + data)
