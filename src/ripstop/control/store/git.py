"""Reads policies out of Git: what counts is what was committed, not what lies in the working tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ripstop.core.errors import ConfigurationError, missing_extra

try:
    from dulwich import porcelain
    from dulwich.errors import NotGitRepository
    from dulwich.object_store import iter_tree_contents
    from dulwich.objects import Blob, Commit
    from dulwich.repo import Repo
except ModuleNotFoundError as error:
    raise missing_extra("dulwich", "control") from error

SUFFIXES = (".yaml", ".yml", ".json")
_AUTHOR = b"Ripstop <ripstop@localhost>"
_MOST_FILES, _MOST_BYTES = 2_000, 20_000_000


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
            ConfigurationError: C0232 where the folder is missing or its repository cannot be read.
        """
        if not folder.is_dir():
            raise ConfigurationError(f"there is no folder `{folder}`", code="C0232")
        self.folder = folder.resolve()
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
        """Give the commit that HEAD names; empty where there is none yet. Costs a tenth of a millisecond."""
        try:
            return self._repo.head().decode()
        except KeyError:
            return ""

    def read(self, commit: str) -> Snapshot:
        """Give a commit's documents.

        Raises:
            ConfigurationError: C0232 where the commit is not there, C0233 where it holds too much.
        """
        try:
            found = self._repo[commit.encode()]
        except KeyError:
            found = None
        if not isinstance(found, Commit):
            raise ConfigurationError(f"there is no commit `{commit[:40]}`", code="C0232")
        files: dict[str, bytes] = {}
        for entry in iter_tree_contents(self._repo.object_store, found.tree):
            name = entry.path.decode(errors="replace") if entry.path else ""
            if not self._is_wanted(name) or entry.sha is None:
                continue
            blob = self._repo[entry.sha]
            if isinstance(blob, Blob):
                files[name] = blob.data
            if len(files) > _MOST_FILES or sum(map(len, files.values())) > _MOST_BYTES:
                raise ConfigurationError(
                    f"commit `{commit[:12]}` holds more than {_MOST_FILES} documents or 20 MB", code="C0233"
                )
        policies = tuple(sorted(name for name in files if self._is_policy(name)))
        return Snapshot(commit, files, policies)

    def close(self) -> None:
        """Let go of the repository's files."""
        self._repo.close()

    def _is_wanted(self, name: str) -> bool:
        path = PurePosixPath(name)
        if path.suffix not in SUFFIXES or ".." in path.parts or path.is_absolute():
            return False
        return "vocabularies" in path.parts or self._is_policy(name)

    def _is_policy(self, name: str) -> bool:
        path = PurePosixPath(name)
        hidden = any(part.startswith(".") for part in path.parts)
        apart = {"vocabularies", "playbooks", "scenarios"} & set(path.parts)
        return name.startswith(self._prefix) and not hidden and not apart
