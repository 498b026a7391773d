"""Releases: numbered contents of the policy store, as signed bundles that outlive the process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ripstop.core.canonical import digest
from ripstop.core.errors import ConfigurationError
from ripstop.core.files import write_whole
from ripstop.core.intent import Release
from ripstop.core.messages import Bundle, SafeMode
from ripstop.core.wire.bundle import seal_bundle
from ripstop.core.wire.envelope import Ed25519Signer, TrustedKey

_YEAR_US = 365 * 86_400_000_000


def bundle_digest(policies: Sequence[str]) -> str:
    """Give the digest that names a bundle's content: of its policy documents, in their order.

    It is independent of counter, commit and time, so that a rollback has the digest of what it returns to.
    """
    return digest(list(policies))


@dataclass(frozen=True, slots=True)
class Issued:
    """A release with its bundle, sealed by the release key."""

    release: Release
    bundle: Bundle
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bundle says of itself besides its policies: when issued, for how long, the least counter.

    Once it has expired, `safe_mode` holds. `stop_keys` are the public keys that may stop its agents.
    """

    issued_us: int
    valid_us: int = _YEAR_US
    minimum: int = 0
    safe_mode: SafeMode = SafeMode.DENY
    stop_keys: tuple[bytes, ...] = ()


def issue(
    signer: Ed25519Signer, fleet: str, release: Release, policies: Sequence[str], terms: Terms
) -> Issued:
    """Seal policies into a bundle."""
    bundle = Bundle(
        fleet=fleet,
        counter=release.counter,
        commit=release.commit,
        issued_us=terms.issued_us,
        expires_us=terms.issued_us + terms.valid_us,
        minimum=terms.minimum,
        policies=tuple(policies),
        safe_mode=terms.safe_mode,
        stop_keys=terms.stop_keys,
    )
    return Issued(release, bundle, seal_bundle(signer, bundle))


class ReleaseShelf:
    """The releases that were issued, on disk: the counter only rises, also over a restart.

    `index.json` lists them, `<counter>.bundle` holds each one's signed bytes; the bundle is written first.
    `overruled` names the commit that a rollback set aside, while that rollback is in force.
    """

    def __init__(self, folder: Path, earlier: Sequence[TrustedKey] = ()) -> None:
        """Open the shelf.

        Args:
            folder: where it is.
            earlier: keys that may have signed what is on it, besides today's.

        Raises:
            ConfigurationError: C0234 where the index cannot be read.
        """
        self.folder = folder
        self.earlier = earlier
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._index = folder / "index.json"
        self._overruled = folder / "overruled"
        self.releases: list[Release] = []
        if self._index.exists():
            try:
                self.releases = [Release(**entry) for entry in json.loads(self._index.read_text())]
            except (ValueError, TypeError) as error:
                raise ConfigurationError(
                    f"`{self._index}` does not list releases", code="C0234",
                    hint="restore it from a backup: a counter that falls back is refused by every agent",
                ) from error  # fmt: skip

    @property
    def last(self) -> Release | None:
        """Give the release in force."""
        return self.releases[-1] if self.releases else None

    @property
    def overruled(self) -> str:
        """Give the commit that the release in force set aside; empty where it did none."""
        try:
            return self._overruled.read_text()
        except FileNotFoundError:
            return ""

    def overrule(self, commit: str) -> None:
        """Keep that a rollback sets this commit aside, durably; empty where none does any more."""
        if commit:
            write_whole(self._overruled, commit.encode())
        else:
            self._overruled.unlink(missing_ok=True)

    @property
    def next_counter(self) -> int:
        """Give the number of the next release."""
        return self.releases[-1].counter + 1 if self.releases else 1

    def put(self, issued: Issued) -> None:
        """Keep a release, durably, before it goes out.

        Raises:
            ConfigurationError: C0235 where its counter does not rise.
        """
        if issued.release.counter < self.next_counter:
            raise ConfigurationError(
                f"release {issued.release.counter} is not above {self.next_counter - 1}", code="C0235"
            )
        write_whole(self.folder / f"{issued.release.counter}.bundle", issued.sealed)
        self.releases.append(issued.release)
        write_whole(
            self._index, json.dumps([asdict(release) for release in self.releases], indent=1).encode()
        )

    def sealed(self, counter: int) -> bytes:
        """Give the signed bytes of a release.

        Raises:
            ConfigurationError: C0236 where there is none of this number.
        """
        try:
            return (self.folder / f"{counter}.bundle").read_bytes()
        except OSError as error:
            raise ConfigurationError(f"there is no release {counter}", code="C0236") from error
