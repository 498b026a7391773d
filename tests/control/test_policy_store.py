"""The policy store: commits become releases, broken ones do not."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from dulwich import porcelain

from ripstop.control.store.check import check_policies
from ripstop.control.store.git import PolicyRepository
from ripstop.control.store.keys import FleetKeys
from ripstop.control.store.releases import ReleaseShelf, bundle_digest
from ripstop.control.store.store import PolicyStore, Refused, Unchanged
from ripstop.core.errors import ConfigurationError, WireError
from ripstop.core.wire.bundle import open_bundle
from ripstop.core.wire.envelope import Keyring, Role, TrustedKey, open_envelope

ROOT = Path(__file__).parents[2]
KEYS = FleetKeys.from_seed(2, "fleet")


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "policies" / "drones", tmp_path / "policies" / "drones")
    shutil.copytree(ROOT / "vocabularies", tmp_path / "policies" / "vocabularies")
    return tmp_path / "policies"


def open_store(folder, keys=KEYS, earlier=(), **more):
    shelf = ReleaseShelf(folder.parent / "releases", earlier)
    return PolicyStore(PolicyRepository(folder), shelf, keys.release, "fleet", check_policies, **more)


def commit(folder, name, text):
    (folder / name).write_text(text)
    porcelain.add(str(folder), [str(folder / name)])
    author = b"A <a@example.org>"
    return porcelain.commit(str(folder), b"change", author=author, committer=author).decode()


def bundle_of(issued):
    ring = Keyring.of(KEYS.trusted())
    return open_bundle(partial(open_envelope, ring, "fleet"), issued.sealed)


def drop_description(text):
    return "\n".join(line for line in text.splitlines() if not line.startswith("description:"))


def test_the_first_look_makes_release_one_signed_by_the_release_key(folder):
    store = open_store(folder)
    issued = store.poll(1)
    bundle = bundle_of(issued)
    assert (issued.release.counter, bundle.counter) == (1, 1)
    assert issued.release.digest == bundle_digest(bundle.policies)
    assert issued.release.commit == store.repository.head()
    assert json.loads(bundle.policies[0])["tier"] == "safety"
    assert json.loads(bundle.policies[0])["vocabulary"]["name"] == "drone"
    assert store.poll(2) is None


def test_a_commit_that_changes_a_policy_is_the_next_release(folder):
    store = open_store(folder)
    first = store.poll(1)
    name = "drones/admission.yaml"
    text = drop_description((folder / name).read_text()) + "\ndescription: another one\n"
    sha = commit(folder, name, text)
    second = store.poll(2)
    assert (second.release.counter, second.release.commit) == (2, sha)
    assert second.release.digest != first.release.digest


def test_a_manifest_names_the_stop_key_and_another_key_is_another_release(folder):
    first = open_store(folder, stop_keys=(KEYS.stop.public,)).poll(1)
    assert bundle_of(first).stop_keys == (KEYS.stop.public,)
    assert open_store(folder, stop_keys=(KEYS.stop.public,)).poll(2) is None
    store = open_store(folder, stop_keys=(b"\7" * 32,))
    second = store.poll(3)
    assert (second.release.counter, second.release.digest) == (2, first.release.digest)
    assert bundle_of(second).stop_keys == (b"\7" * 32,)
    assert store.poll(4) is None


def test_another_release_key_signs_the_same_content_anew_and_older_ones_stay_readable(folder):
    first, others = open_store(folder).poll(1), FleetKeys.from_seed(3, "fleet")
    with pytest.raises(WireError, match="not trusted"):
        open_store(folder, others).poll(2)
    store = open_store(folder, others, KEYS.trusted())
    second = store.poll(3)
    assert (second.release.counter, second.release.digest) == (2, first.release.digest)
    opener = partial(open_envelope, Keyring.of(others.trusted()), "fleet")
    assert open_bundle(opener, second.sealed).policies == bundle_of(first).policies
    assert store.poll(4) is None
    assert store.rollback(1, 5).release.digest == first.release.digest


def test_the_public_keys_of_others_are_trusted_too(tmp_path):
    (tmp_path / "release-ann.pub").write_text(f"{'ab' * 32}\n")
    keys = FleetKeys.load(tmp_path)
    assert keys.trusted()[3:] == (TrustedKey(b"\xab" * 32, Role.RELEASE),)
    (tmp_path / "release-ann.pub").write_text("ab\n")
    with pytest.raises(ConfigurationError, match="C0231"):
        FleetKeys.load(tmp_path)


def test_a_release_is_made_anew_with_a_tenth_of_its_time_left(folder):
    store = open_store(folder)
    first = store.poll(1)
    due = 1 + 9 * (bundle_of(first).expires_us - 1) // 10
    assert store.poll(due - 2_000_000) is None
    assert open_store(folder).poll(due - 2_000_000) is None
    second = store.poll(due + 2_000_000)
    assert (second.release.counter, second.release.digest) == (2, first.release.digest)
    assert bundle_of(second).expires_us > bundle_of(first).expires_us
    assert store.poll(due + 3_000_000) is None


def test_a_commit_that_changes_no_policy_is_no_release(folder):
    store = open_store(folder)
    store.poll(1)
    words = commit(folder, "README.md", "words")
    assert store.poll(2) == Unchanged(words)
    remark = commit(
        folder, "drones/admission.yaml", "# only a remark\n" + (folder / "drones/admission.yaml").read_text()
    )
    assert store.poll(3) == Unchanged(remark)
    assert store.shelf.last.counter == 1


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("drones/admission.yaml", "ripstop: 1\nid: x\nrule: {\n", "E0104"),
        ("drones/new.yaml", "ripstop: 1\nid: drone/x\nvocabulary: drone\ntypo: 1\nrule: true\n", "E0301"),
        ("drones/new.json", '{"ripstop": 1, "id": "x", "rule": NaN}', "E0"),
        ("drones/half.json", '{"ripstop": 1, "id": "x", "ru', "E0"),
        ("drones/twin.yaml", None, "E0312"),
    ],
)
def test_a_broken_commit_is_refused_with_its_place_and_the_last_good_release_stays(folder, name, text, code):
    store = open_store(folder)
    good = store.poll(1)
    commit(folder, name, text if text is not None else (folder / "drones/admission.yaml").read_text())
    refused = store.poll(2)
    assert isinstance(refused, Refused)
    assert code in refused.reasons[0]
    assert "ripstop-commit" not in refused.reasons[0]
    assert store.current().sealed == good.sealed
    assert store.poll(3) is None
    (folder / name).unlink()
    porcelain.add(str(folder), [str(folder / name)])
    shutil.copy(ROOT / "policies/drones/admission.yaml", folder / "drones/admission.yaml")
    fixed = drop_description((folder / "drones/admission.yaml").read_text()) + "\ndescription: fixed\n"
    commit(folder, "drones/admission.yaml", fixed)
    assert store.poll(4).release.counter == 2


def test_every_finding_of_a_commit_is_told_at_once(folder):
    store = open_store(folder)
    store.poll(1)
    commit(folder, "drones/a.yaml", "ripstop: 1\nid: a\nfoo: 1\nbar: 2\nrule: true\n")
    assert len(store.poll(2).reasons) >= 2


def test_uncommitted_edits_count_for_nothing(folder):
    store = open_store(folder)
    store.poll(1)
    (folder / "drones" / "admission.yaml").write_text("nonsense")
    assert store.poll(2) is None


def test_the_counter_and_the_release_outlive_the_process(folder):
    first = open_store(folder).poll(1)
    again = open_store(folder)
    assert again.poll(2) is None
    assert again.current() == first


def test_a_rollback_is_a_new_release_of_the_exact_older_content(folder):
    store = open_store(folder)
    first = store.poll(1)
    name = "drones/admission.yaml"
    commit(folder, name, drop_description((folder / name).read_text()) + "\ndescription: newer\n")
    store.poll(2)
    back = store.rollback(1, 3)
    assert back.release.counter == 3
    assert back.release.digest == first.release.digest
    assert bundle_of(back).policies == bundle_of(first).policies
    assert open_store(folder).current() == back


def described(folder, text):
    name = "drones/admission.yaml"
    return commit(folder, name, drop_description((folder / name).read_text()) + f"\ndescription: {text}\n")


def test_a_rollback_stays_over_a_restart_until_head_moves(folder):
    store = open_store(folder)
    store.poll(1)
    described(folder, "newer")
    store.poll(2)
    back = store.rollback(1, 3)
    assert store.poll(4) is None
    again = open_store(folder)
    assert again.poll(5) is None
    assert again.current() == back
    newest = described(folder, "newest")
    assert again.poll(6).release.commit == newest
    last = open_store(folder)
    assert last.poll(7) is None
    assert last.current().release.counter == 4


def test_a_commit_that_mends_a_refused_one_without_another_policy_is_told(folder):
    store = open_store(folder)
    store.poll(1)
    broken = commit(folder, "drones/worse.yaml", "ripstop: 1\n")
    assert store.poll(2).commit == broken
    assert store.refused.commit == broken
    (folder / "drones" / "worse.yaml").unlink()
    porcelain.rm(str(folder), [str(folder / "drones" / "worse.yaml")])
    mended = commit(folder, "notes.txt", "mended\n")
    assert store.poll(3) == Unchanged(mended)
    assert store.refused is None
    assert store.poll(4) is None


def test_an_id_that_stands_twice_is_told_with_both_files(folder):
    store = open_store(folder)
    store.poll(1)
    commit(folder, "drones/second.yaml", (folder / "drones" / "admission.yaml").read_text())
    (reason,) = store.poll(2).reasons
    assert reason.startswith(
        "drones/second.yaml: E0312: `drones/admission.yaml` has the id `drone/admission`"
    )


def test_a_store_without_the_release_asked_for_says_so(folder):
    with pytest.raises(ConfigurationError) as caught:
        open_store(folder).rollback(9, 1)
    assert caught.value.code == "C0236"


def test_a_vocabulary_that_somebody_lays_into_the_temporary_folder_is_not_taken(
    folder, tmp_path, monkeypatch
):
    shared = tmp_path / "shared"
    (shared / "vocabularies").mkdir(parents=True)
    (shared / "vocabularies" / "drone.yaml").write_text("vocabulary: drone\nunguarded: allow\n")
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    shutil.rmtree(folder / "vocabularies")
    issued = open_store(folder).poll(1)
    assert json.loads(bundle_of(issued).policies[0])["vocabulary"]["signals"]
    assert [path.name for path in (tmp_path / "releases").iterdir() if path.is_dir()] == []


def test_a_commit_without_any_policy_is_refused(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "README.md").write_text("nothing here")
    refused = open_store(tmp_path / "policies").poll(1)
    assert refused.reasons == ("C0239: the commit holds no policy",)


def test_a_missing_folder_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        PolicyRepository(tmp_path / "nowhere")
    assert caught.value.code == "C0232"


def test_a_folder_within_a_repository_takes_its_own_policies_only(folder):
    PolicyRepository(folder).close()
    commit(folder, "stray.yaml", "not: a policy\n")
    snapshot = PolicyRepository(folder / "drones").read(PolicyRepository(folder).head())
    assert snapshot.policies == ("drones/admission.yaml", "drones/payload-limit.yaml")
    assert "vocabularies/drone.yaml" in snapshot.files


def test_keys_are_made_once_and_kept_from_others(tmp_path):
    first = FleetKeys.load(tmp_path)
    assert FleetKeys.load(tmp_path).command.public == first.command.public
    assert {p.stat().st_mode & 0o777 for p in tmp_path.glob("*.key")} == {0o600}
    assert (tmp_path / "stop.pub").read_text().strip() == first.stop.public.hex()
    assert len({key.public for key in first.trusted()}) == 3
    (tmp_path / "command.key").chmod(0o644)
    with pytest.raises(ConfigurationError) as caught:
        FleetKeys.load(tmp_path)
    assert caught.value.code == "C0231"


def test_a_broken_key_file_is_not_replaced(tmp_path):
    FleetKeys.load(tmp_path)
    (tmp_path / "stop.key").write_text("zz")
    with pytest.raises(ConfigurationError):
        FleetKeys.load(tmp_path)
    assert (tmp_path / "stop.key").read_text() == "zz"


def test_a_broken_index_of_releases_is_no_fresh_start(folder):
    open_store(folder).poll(1)
    (folder.parent / "releases" / "index.json").write_text("{")
    with pytest.raises(ConfigurationError) as caught:
        open_store(folder)
    assert caught.value.code == "C0234"
