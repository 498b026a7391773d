"""Bundles on the wire: a signed manifest, and the documents that its hashes name.

Layout: the CBOR array [manifest, [document, ...]]. `manifest` is an envelope (core.wire.envelope) whose body
is a packed `Manifest`; documents are byte strings (policies: canonical JSON in UTF-8), each with the SHA-256
at its place in `hashes`. So a device that keeps its policies compiled checks some hundred bytes and a hash,
and a signature can be neither stripped from its documents nor put beside others.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from ripstop.core.value import dataclass

from ..errors import WireError
from ..messages import Bundle, SafeMode
from .cbor import decode, encode
from .envelope import Envelope, EnvelopeType, Header, Signer, seal
from .record import pack, unpack

VERSION = 1
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is signed of a release."""

    version: int
    fleet: str
    counter: int
    minimum: int
    commit: str
    issued_us: int
    expires_us: int
    safe_mode: SafeMode
    hashes: tuple[bytes, ...]
    stop_keys: tuple[bytes, ...]


def seal_bundle(signer: Signer, bundle: Bundle) -> bytes:
    """Sign a bundle's manifest and put its documents beside it."""
    documents = [policy.encode() for policy in bundle.policies]
    manifest = Manifest(
        VERSION, bundle.fleet, bundle.counter, bundle.minimum, bundle.commit, bundle.issued_us,
        bundle.expires_us, bundle.safe_mode, tuple(sha256(document).digest() for document in documents),
        bundle.stop_keys,
    )  # fmt: skip
    header = Header(bundle.fleet, "fleet", generation=bundle.counter)
    return encode([seal(signer, EnvelopeType.BUNDLE, header, pack(manifest)), documents])


def open_bundle(opener: Callable[[EnvelopeType, bytes], Envelope], data: bytes) -> Bundle:
    """Check a bundle whole: signature, role, fleet, then each document against its hash.

    Args:
        opener: opens envelopes; see `core.wire.envelope.open_envelope`.
        data: as `seal_bundle` gave it.

    Raises:
        WireError: what opening an envelope raises, and W0603: the manifest contradicts itself or its
            envelope, or the documents are not those that it names.
    """
    sealed, documents = _parts(data)
    envelope = opener(EnvelopeType.BUNDLE, sealed)
    manifest = unpack(Manifest, envelope.body)
    if manifest.version != VERSION:
        raise WireError(f"version {manifest.version} of a manifest is not known", code="W0201")
    if (manifest.fleet, manifest.counter) != (envelope.fleet, envelope.generation):
        raise WireError("a manifest disagrees with its envelope", code="W0603")
    if not manifest.counter > 0 or manifest.minimum > manifest.counter:
        raise WireError(
            f"a manifest numbers its release {manifest.counter}, the least to accept {manifest.minimum}",
            code="W0603",
        )
    if any(len(key) != _KEY_BYTES for key in manifest.stop_keys):
        raise WireError(f"a manifest names a stop key that has not {_KEY_BYTES} bytes", code="W0603")
    if tuple(sha256(document).digest() for document in documents) != manifest.hashes:
        raise WireError("the documents are not those that the manifest names", code="W0603")
    return Bundle(
        manifest.fleet, manifest.counter, manifest.commit, manifest.issued_us, manifest.expires_us,
        manifest.minimum, tuple(map(_text, documents)), manifest.safe_mode, manifest.stop_keys,
    )  # fmt: skip


def _parts(data: bytes) -> tuple[bytes, list[bytes]]:
    match decode(data):
        case [bytes() as sealed, list() as items]:
            documents = [item for item in items if isinstance(item, bytes)]
            if len(documents) == len(items):
                return sealed, documents
    raise WireError("not a manifest beside its documents", code="W0201")


def _text(document: bytes) -> str:
    try:
        return document.decode()
    except UnicodeDecodeError as error:
        raise WireError("a document is not UTF-8", code="W0603") from error
