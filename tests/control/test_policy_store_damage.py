"""A repository that somebody or something has damaged: the last good release stays, the reason is told."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ripstop.control.store.check import check_policies
from ripstop.control.store.git import PolicyRepository, UnreadableError
from ripstop.control.store.keys import FleetKeys
from ripstop.control.store.releases import Issued, ReleaseShelf
from ripstop.control.store.store import PolicyStore, Refused, Unchanged
from ripstop.core.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
KEYS = FleetKeys.from_seed(2, "fleet")
POLICY = "drones/admission.yaml"


def git(folder: Path, *words: str) -> str:
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *author, "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "add", "-A", ".")
    git(folder, "commit", "-qm", "change", "--allow-empty")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies" / "drones", policies / "drones")
    shutil.copytree(ROOT / "vocabularies", policies / "vocabularies")
    git(policies, "init", "-q", "-b", "main")
    commit(policies)
    return policies


@pytest.fixture
def store(folder: Path) -> Iterator[PolicyStore]:
    repository = PolicyRepository(folder)
    yield PolicyStore(
        repository, ReleaseShelf(folder.parent / "releases"), KEYS.release, "fleet", check_policies
    )
    repository.close()


def loose(folder: Path, name: str) -> Path:
    """Give the file of an object that HEAD has; it may be written."""
    sha = git(folder, "rev-parse", name)
    path = folder / ".git" / "objects" / sha[:2] / sha[2:]
    path.chmod(0o644)
    return path


def change(folder: Path) -> None:
    text = (folder / POLICY).read_text()
    (folder / POLICY).write_text(f"# a remark\n{text}".replace("description:", "description: newer;"))
    commit(folder)


def cut(folder: Path, name: str, length: int = 10) -> None:
    change(folder)
    path = loose(folder, name)
    path.write_bytes(path.read_bytes()[:length])


def lose(folder: Path, name: str) -> None:
    change(folder)
    loose(folder, name).unlink()


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    commit(folder)


def link(folder: Path, name: str, target: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    commit(folder)


def submodule(folder: Path) -> None:
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},drones/sub.yaml")
    git(folder, "commit", "-qm", "a submodule")


def empty(folder: Path) -> None:
    shutil.rmtree(folder / "drones")
    commit(folder)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a lost blob": (lambda folder: lose(folder, f"HEAD:{POLICY}"), "C0232"),
    "a cut blob": (lambda folder: cut(folder, f"HEAD:{POLICY}"), "C0232"),
    "an empty blob": (lambda folder: cut(folder, f"HEAD:{POLICY}", 0), "C0232"),
    "a lost tree": (lambda folder: lose(folder, "HEAD^{tree}"), "C0232"),
    "a cut tree": (lambda folder: cut(folder, "HEAD^{tree}", 20), "C0232"),
    "a lost commit": (lambda folder: lose(folder, "HEAD"), "C0232"),
    "a cut commit": (lambda folder: cut(folder, "HEAD"), "C0232"),
    "half a reference": (lambda folder: write(folder, "refs/heads/main", b"8770f60e39e8"), "C0232"),
    "a loop of links": (lambda folder: link(folder, POLICY, "admission.yaml"), "C0238"),
    "a link that leads out": (lambda folder: link(folder, "drones/x.yaml", "/etc/passwd"), "C0238"),
    "a submodule": (submodule, "C0238"),
    "bytes that are no text": (lambda folder: put(folder, POLICY, b"\xff\x00\xfe" * 999), "E0102"),
    "a file of nulls": (lambda folder: put(folder, POLICY, bytes(999)), "E0104"),
    "an empty file": (lambda folder: put(folder, POLICY, b""), "E0104"),
    "the first word of a file": (lambda folder: put(folder, POLICY, b"rips"), "E0305"),
    "a huge file": (lambda folder: put(folder, POLICY, b"a: " + b"x" * 5_000_000), "E0103"),
    "a file beyond all bounds": (lambda folder: put(folder, POLICY, b"a: " + b"x" * 30_000_000), "C0233"),
    "another unit": (lambda folder: put(folder, POLICY, in_kilograms()), "E0205"),
    "half a rule": (lambda folder: put(folder, "drones/load.rule", b"payload_kg <"), "E0104"),
    "no policy at all": (empty, "C0239"),
}  # fmt: skip


def write(folder: Path, name: str, content: bytes) -> None:
    (folder / ".git" / name).write_bytes(content)


def in_kilograms() -> bytes:
    return (ROOT / "policies" / POLICY).read_bytes().replace(b"_wh", b"_kg")


@pytest.mark.parametrize("what", REFUSED)
def test_a_commit_that_cannot_be_used_is_refused_once_and_a_right_one_is_the_next_release(
    folder: Path, store: PolicyStore, what: str
) -> None:
    damage, code = REFUSED[what]
    good = store.poll(1)
    assert isinstance(good, Issued)
    before = git(folder, "rev-parse", "HEAD")
    damage(folder)
    refused = store.poll(2)
    assert isinstance(refused, Refused)
    assert code in refused.reasons[0]
    assert store.poll(3) is None
    assert store.current() == good
    write(folder, "refs/heads/main", before.encode() + b"\n")
    git(folder, "reset", "-q", "--hard")
    assert isinstance(store.poll(4), Unchanged)
    (folder / POLICY).write_text(
        (ROOT / "policies" / POLICY).read_text().replace("description:", "description: right;")
    )
    commit(folder)
    right = store.poll(5)
    assert isinstance(right, Issued)
    assert right.release.counter == 2


HEADS: dict[str, tuple[Callable[[Path], object], str]] = {
    "HEAD is garbage": (lambda folder: write(folder, "HEAD", b"\xa5\xff\x00" * 9), "C0232"),
    "HEAD names itself": (lambda folder: write(folder, "HEAD", b"ref: HEAD\n"), "C0232"),
    "HEAD is empty": (lambda folder: write(folder, "HEAD", b""), "C0237"),
    "HEAD is gone": (lambda folder: (folder / ".git" / "HEAD").unlink(), "C0237"),
    "HEAD names an unborn branch": (lambda folder: write(folder, "HEAD", b"ref: refs/heads/x\n"), "C0237"),
    "the branch is empty": (lambda folder: write(folder, "refs/heads/main", b""), "C0237"),
    "the repository is gone": (lambda folder: shutil.rmtree(folder / ".git"), "C0237"),
    "the folder is gone": (shutil.rmtree, "C0237"),
}


@pytest.mark.parametrize("what", HEADS)
def test_a_repository_without_a_head_is_told_and_the_last_good_release_stays(
    folder: Path, store: PolicyStore, what: str
) -> None:
    damage, code = HEADS[what]
    good = store.poll(1)
    shutil.copytree(folder, folder.parent / "copy")
    damage(folder)
    for t_us in (2, 3):
        with pytest.raises(UnreadableError) as caught:
            store.poll(t_us)
        assert caught.value.code == code
    assert store.current() == good
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(folder.parent / "copy", folder)
    assert store.poll(4) is None
    change(folder)
    assert isinstance(store.poll(5), Issued)


def test_an_object_that_comes_late_makes_its_commit_a_release(folder: Path, store: PolicyStore) -> None:
    store.poll(1)
    change(folder)
    path = loose(folder, f"HEAD:{POLICY}")
    content = path.read_bytes()
    path.unlink()
    assert isinstance(store.poll(2), Refused)
    path.write_bytes(content)
    issued = store.poll(3)
    assert isinstance(issued, Issued)
    assert issued.release.counter == 2


def test_a_history_that_was_rewound_or_begun_anew_makes_a_release_of_what_it_holds(
    folder: Path, store: PolicyStore
) -> None:
    first = store.poll(1)
    change(folder)
    store.poll(2)
    git(folder, "reset", "-q", "--hard", "HEAD^")
    back = store.poll(3)
    assert isinstance(first, Issued)
    assert isinstance(back, Issued)
    assert (back.release.counter, back.release.digest) == (3, first.release.digest)
    shutil.rmtree(folder / ".git")
    git(folder, "init", "-q", "-b", "main")
    change(folder)
    git(folder, "gc", "-q", "--prune=now")
    anew = store.poll(4)
    assert isinstance(anew, Issued)
    assert anew.release.counter == 4


def test_a_rule_in_the_readable_form_is_a_policy_of_the_store(folder: Path, store: PolicyStore) -> None:
    store.poll(1)
    put(folder, "drones/light.rule", b"payload_kg < 1.5\n")
    issued = store.poll(2)
    assert isinstance(issued, Issued)
    assert sum('"id":"light"' in text for text in issued.bundle.policies) == 1


def test_a_repository_that_cannot_be_opened_is_a_clear_error(folder: Path) -> None:
    write(folder, "config", os.urandom(64))
    with pytest.raises(ConfigurationError) as caught:
        PolicyRepository(folder)
    assert caught.value.code == "C0232"
