"""The policy store: watches HEAD, checks each new commit, and makes releases of those that hold.

A commit with any finding is refused whole, with its findings; the last good release stays in force. A commit
that changes no policy makes no release. A rollback is a new release of an older content.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ripstop.core.errors import ConfigurationError, RipstopError, WireError
from ripstop.core.intent import Release
from ripstop.core.messages import Bundle
from ripstop.core.wire.bundle import open_bundle
from ripstop.core.wire.envelope import Ed25519Signer, Keyring, TrustedKey, open_envelope

from .check import Checked
from .git import PolicyRepository, Snapshot, UnreadableError
from .releases import Issued, ReleaseShelf, Terms, bundle_digest, issue


@dataclass(frozen=True, slots=True)
class Refused:
    """A commit that makes no release, and every reason why."""

    commit: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A commit that holds and makes no release, for the policies are those in force."""

    commit: str


# Checks policy files; raises `RipstopError` with what does not hold.
Checker = Callable[[Sequence[Path]], Checked]


class PolicyStore:
    """Releases of one fleet, from a repository to a shelf; their manifests name `stop_keys`."""

    def __init__(
        self, repository: PolicyRepository, shelf: ReleaseShelf, signer: Ed25519Signer, fleet: str,
        checker: Checker, *, stop_keys: tuple[bytes, ...] = (),
    ) -> None:  # fmt: skip
        self.repository = repository
        self.shelf = shelf
        self._signer = signer
        self._fleet = fleet
        self._check = checker
        self._stop_keys = stop_keys
        self._own = Keyring.of([TrustedKey(signer.public, signer.role)])
        self._keys = Keyring.of([TrustedKey(signer.public, signer.role), *shelf.earlier])
        self._seen = shelf.overruled or (shelf.last.commit if shelf.last else "")
        self._refused: Refused | None = None  # the commit seen last
        self._unreadable: Refused | None = None  # HEAD, while it cannot be read: it was not seen yet
        self._renew_us = 0
        self.lints: tuple[str, ...] = ()  # of the commit that was found to hold last

    def current(self) -> Issued | None:
        """Give the release in force with its bytes, as it was issued."""
        last = self.shelf.last
        if last is None:
            return None
        sealed = self.shelf.sealed(last.counter)
        return Issued(last, self._opened(sealed), sealed)

    def _opened(self, sealed: bytes) -> Bundle:
        return open_bundle(partial(open_envelope, self._keys, self._fleet), sealed)

    def poll(self, now_us: int) -> Issued | Refused | Unchanged | None:
        """Look at HEAD; give a new release, a refusal, a commit without effect, or None where it is no news.

        A new release of the same content is made where the one in force names other stop keys or another key
        signed it, and before it expires: agents would fall into their safe mode with nothing wrong. A commit
        that cannot be read is refused, and looked at again as long as HEAD names it.

        Raises:
            UnreadableError: C0232, C0237 where HEAD itself cannot be read or names no commit.
            OSError: a release cannot be kept, or the commit not be laid out.
        """
        if now_us >= self._renew_us:
            current = self.current()
            if current is not None and (self._due(current) <= now_us or not self._is_of_today(current)):
                return self._issue(current.bundle.policies, current.bundle.commit, now_us)
            self._renew_us = self._due(current) if current is not None else now_us
        head = self.repository.head()
        if head == self._seen:
            was_unreadable, self._unreadable = self._unreadable, None
            return (self._refused or Unchanged(head)) if was_unreadable else None
        # within our own folder: vocabularies are looked for further up, too, and others may write into /tmp
        with tempfile.TemporaryDirectory(prefix="ripstop-commit-", dir=self.shelf.folder) as folder:
            try:
                checked = self._checked(self.repository.read(head), Path(folder))
            except RipstopError as error:
                refused = Refused(head, _within(folder, _reasons(error)))
                return self._refuse(refused, is_readable=not isinstance(error, UnreadableError))
        policies, self.lints = checked.documents, _within(folder, checked.lints)
        self._seen, self._refused, self._unreadable = head, None, None
        last = self.shelf.last
        if last is not None and bundle_digest(policies) == last.digest:
            self.shelf.overrule("")
            return Unchanged(head)
        issued = self._issue(policies, head, now_us)
        self.shelf.overrule("")
        return issued

    @staticmethod
    def _due(current: Issued) -> int:
        """Give when a release is made anew: with a tenth of its time left."""
        bundle = current.bundle
        return bundle.expires_us - (bundle.expires_us - bundle.issued_us) // 10

    def _is_of_today(self, current: Issued) -> bool:
        """Whether it names today's stop keys and today's release key has signed it."""
        try:
            open_bundle(partial(open_envelope, self._own, self._fleet), current.sealed)
        except WireError:
            return False
        return current.bundle.stop_keys == self._stop_keys

    def _checked(self, snapshot: Snapshot, folder: Path) -> Checked:
        if not snapshot.policies:
            raise ConfigurationError("the commit holds no policy", code="C0239")
        snapshot.write(folder)
        return self._check([folder / name for name in snapshot.policies])

    @property
    def refused(self) -> Refused | None:
        """The refusal of HEAD, for as long as it names that commit."""
        return self._unreadable or self._refused

    def _refuse(self, refused: Refused, *, is_readable: bool) -> Refused | None:
        """Tell a refusal once, however often its commit is looked at: what is missing may come yet."""
        if is_readable:
            self._seen, self._refused, self._unreadable = refused.commit, refused, None
            return refused
        is_told, self._unreadable = refused == self._unreadable, refused
        return None if is_told else refused

    def rollback(self, counter: int, now_us: int) -> Issued:
        """Make a new release of an older one's exact content; until HEAD moves it stays, over restarts too.

        Raises:
            ConfigurationError: C0236 where there is no such release.
        """
        older = self._opened(self.shelf.sealed(counter))
        self.shelf.overrule(self._seen)
        return self._issue(older.policies, older.commit, now_us)

    def _issue(self, policies: Sequence[str], commit: str, now_us: int) -> Issued:
        release = Release(self.shelf.next_counter, bundle_digest(policies), commit)
        issued = issue(self._signer, self._fleet, release, policies, Terms(now_us, stop_keys=self._stop_keys))
        self.shelf.put(issued)
        self._renew_us = self._due(issued)
        return issued


def _reasons(error: RipstopError) -> tuple[str, ...]:
    findings = getattr(error, "findings", None)
    return tuple(str(finding) for finding in findings) if findings else (str(error),)


def _within(folder: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Name files as the repository does."""
    return tuple(text.replace(f"{folder}/", "") for text in texts)
