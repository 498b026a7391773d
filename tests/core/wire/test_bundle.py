from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import WireError
from ripstop.core.messages import Bundle, SafeMode
from ripstop.core.wire.bundle import open_bundle, seal_bundle
from ripstop.core.wire.cbor import decode, encode
from ripstop.core.wire.envelope import (
    Ed25519Signer,
    EnvelopeType,
    Header,
    Keyring,
    Role,
    TrustedKey,
    open_envelope,
    seal,
)

RELEASE = Ed25519Signer(b"\2" * 32, Role.RELEASE)
COMMAND = Ed25519Signer(b"\1" * 32, Role.COMMAND)
KEYS = Keyring({key.key_id: TrustedKey(key.public, key.role) for key in (RELEASE, COMMAND)})
BUNDLE = Bundle("city", 7, "c0ffee", 1, 9, 3, ('{"a":1}', '{"b":"ü"}'), SafeMode.FAILSAFE, (b"\3" * 32,))
SEALED = seal_bundle(RELEASE, BUNDLE)


def opened(data, fleet="city"):
    return open_bundle(partial(open_envelope, KEYS, fleet), data)


def code(data, **more):
    with pytest.raises(WireError) as caught:
        opened(data, **more)
    return caught.value.code


def test_a_bundle_comes_back_as_it_was_sealed():
    assert opened(SEALED) == BUNDLE
    assert seal_bundle(RELEASE, BUNDLE) == SEALED


def test_the_manifest_that_a_small_device_reads_is_small():
    manifest, _ = decode(SEALED)
    assert len(manifest) < 300


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(at, by):
    raw = bytearray(SEALED)
    raw[at] ^= by
    assert code(bytes(raw))[0] == "W"


def test_no_cut_is_taken_for_a_bundle():
    for length in range(len(SEALED)):
        assert code(SEALED[:length]) in ("W0101", "W0201")


def test_documents_may_not_be_left_out_added_or_put_in_another_order():
    manifest, (first, second) = decode(SEALED)
    for documents in ([first], [second, first], [first, second, second], []):
        assert code(encode([manifest, documents])) == "W0603"
    assert code(encode([manifest, [first, "text"]])) == "W0201"
    assert code(manifest) == "W0101"


def test_a_manifest_is_refused_from_another_fleet_or_by_a_key_of_another_role():
    assert code(SEALED, fleet="harbour") == "W0205"
    assert code(seal_bundle(COMMAND, BUNDLE)) == "W0204"
    assert code(seal_bundle(Ed25519Signer(b"\x09" * 32, Role.RELEASE), BUNDLE)) == "W0202"


@pytest.mark.parametrize("change", [{"counter": 0}, {"minimum": 8}, {"stop_keys": (b"short",)}])
def test_a_manifest_that_cannot_be_is_refused(change):
    assert code(seal_bundle(RELEASE, replace(BUNDLE, **change))) == "W0603"


def test_a_manifest_must_agree_with_its_envelope():
    manifest, documents = decode(SEALED)
    body = open_envelope(KEYS, "city", EnvelopeType.BUNDLE, manifest).body
    other = seal(RELEASE, EnvelopeType.BUNDLE, Header("city", "fleet", generation=8), body)
    assert code(encode([other, documents])) == "W0603"


def test_a_document_that_is_no_text_is_refused():
    manifest, _ = decode(SEALED)
    envelope = open_envelope(KEYS, "city", EnvelopeType.BUNDLE, manifest)
    from hashlib import sha256

    from ripstop.core.wire.bundle import Manifest
    from ripstop.core.wire.record import pack, unpack

    body = replace(unpack(Manifest, envelope.body), hashes=(sha256(b"\xff").digest(),))
    sealed = seal(RELEASE, EnvelopeType.BUNDLE, Header("city", "fleet", generation=7), pack(body))
    assert code(encode([sealed, [b"\xff"]])) == "W0603"
