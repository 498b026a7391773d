"""Reads policies out of Git: what counts is what was committed, not what lies in the working tree."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ripstop.core.errors import ConfigurationError, RipstopError, missing_extra
from ripstop.policy.loader import SUFFIXES, is_policy_file
from ripstop.policy.source import shown

try:
    from dulwich import porcelain
    from dulwich.errors import NotGitRepository
    from dulwich.object_store import iter_tree_contents
    from dulwich.objects import Blob, Commit
    from dulwich.repo import Repo
except ModuleNotFoundError as error:
    raise missing_extra("dulwich", "control") from error

_AUTHOR = b"Ripstop <ripstop@localhost>"
_MOST_FILES, _MOST_BYTES = 2_000, 20_000_000


class UnreadableError(ConfigurationError):
    """The repository cannot be read as it is now; it may be later (codes C0232, C0237)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The documents of one commit by path, `policies` naming those that are policies."""

    commit: str
    files: dict[str, bytes]
    policies: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Lay the documents out in a folder, so that a policy finds its vocabulary beside it."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


class PolicyRepository:
    """A folder with policies, in a Git repository or the root of one."""

    def __init__(self, folder: Path) -> None:
        """Open the repository that holds the folder; a folder outside of any becomes one.

        Raises:
            UnreadableError: C0232 where the folder is missing or its repository cannot be read.
        """
        if not folder.is_dir():
            raise UnreadableError(f"there is no folder `{folder}`", code="C0232")
        self.folder = folder.resolve()
        with _reading(f"the repository of `{folder}`"):
            try:
                self._repo = Repo.discover(str(self.folder))
            except NotGitRepository:
                self._repo = self.begin(self.folder)
        root = Path(self._repo.path).resolve()
        relative = self.folder.relative_to(root).as_posix()
        self._prefix = "" if relative == "." else f"{relative}/"

    @staticmethod
    def begin(folder: Path) -> Repo:
        """Make a folder a repository of its own, wherever it lies, and commit the documents in it."""
        folder = folder.resolve()
        repo = Repo.init(str(folder), default_branch=b"main")
        found = sorted(str(p) for p in folder.rglob("*") if p.suffix in SUFFIXES and ".git" not in p.parts)
        if found:
            porcelain.add(repo, found)
        porcelain.commit(repo, b"Begin the policy store", author=_AUTHOR, committer=_AUTHOR)
        return repo

    def head(self) -> str:
        """Give the commit that HEAD names. Costs a tenth of a millisecond.

        Raises:
            UnreadableError: C0232 where HEAD cannot be read, C0237 where it names no commit.
        """
        with _reading(f"the repository of `{self.folder}`"):
            try:
                return self._repo.head().decode()
            except KeyError:
                raise UnreadableError(
                    f"HEAD of `{self.folder}` names no commit", code="C0237",
                    hint="commit the policies there, or restore the repository",
                ) from None  # fmt: skip

    def read(self, commit: str) -> Snapshot:
        """Give a commit's documents.

        Raises:
            UnreadableError: C0232 where the commit or something in it is not there or damaged.
            ConfigurationError: C0233 where it holds too much, C0238 where it links to a document.
        """
        with _reading(f"commit `{commit[:12]}`"):
            files = self._files(commit)
        policies = tuple(sorted(name for name in files if self._is_policy(name)))
        return Snapshot(commit, files, policies)

    def close(self) -> None:
        """Let go of the repository's files."""
        self._repo.close()

    def _files(self, commit: str) -> dict[str, bytes]:
        found = self._repo[commit.encode()]
        if not isinstance(found, Commit):
            raise UnreadableError(f"`{commit[:12]}` is no commit", code="C0232")
        files: dict[str, bytes] = {}
        size = 0
        for entry in iter_tree_contents(self._repo.object_store, found.tree):
            name = entry.path.decode(errors="replace") if entry.path else ""
            if not self._is_wanted(name) or entry.sha is None:
                continue
            if not stat.S_ISREG(entry.mode or 0):
                raise ConfigurationError(
                    f"`{shown(name, 120)}` is a symbolic link or a submodule, expected a file", code="C0238",
                    hint="commit the document itself: what a link points to is not part of the commit",
                )  # fmt: skip
            blob = self._repo[entry.sha]
            files[name] = blob.data if isinstance(blob, Blob) else b""
            size += len(files[name])
            if len(files) > _MOST_FILES or size > _MOST_BYTES:
                raise ConfigurationError(
                    f"commit `{commit[:12]}` holds more than {_MOST_FILES} documents or 20 MB", code="C0233"
                )
        return files

    def _is_wanted(self, name: str) -> bool:
        path = PurePosixPath(name)
        if path.suffix not in SUFFIXES or ".." in path.parts or path.is_absolute():
            return False
        return "vocabularies" in path.parts or self._is_policy(name)

    def _is_policy(self, name: str) -> bool:
        return name.startswith(self._prefix) and is_policy_file(PurePosixPath(name))


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Give one answer to whatever damage makes of Git's reader: it cannot be read."""
    try:
        yield
    except RipstopError:
        raise
    except Exception as error:
        # a damaged object ends in KeyError, AssertionError, zlib.error and more, according to the damage
        is_missing = isinstance(error, KeyError) and error.args and isinstance(error.args[0], bytes)
        reason = f"object `{error.args[0].decode()}` is missing" if is_missing else shown(str(error), 120)
        raise UnreadableError(
            f"{what} cannot be read: {reason}", code="C0232", hint="`git fsck` tells what is damaged"
        ) from error
