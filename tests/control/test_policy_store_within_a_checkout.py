"""A policy store inside somebody else's checkout is a repository of its own, by a relative path as well."""

from pathlib import Path

from dulwich import porcelain

from ripstop.control.store.git import PolicyRepository


def test_a_store_within_a_checkout_begins_with_its_own_documents(tmp_path, monkeypatch):
    outer = porcelain.init(str(tmp_path))
    porcelain.commit(outer, b"outer", author=b"A <a@b.c>", committer=b"A <a@b.c>")
    outer.close()
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/one/policies")
    folder.mkdir(parents=True)
    (folder / "rule.json").write_text("true")
    PolicyRepository.begin(folder).close()
    store = PolicyRepository(folder)
    assert store.read(store.head()).policies == ("rule.json",)
    store.close()
