from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.power import Power, PowerCutError
from ripstop.agent.slots import Slots

OLDEST, OLD, LAST, NEW = b"oldest" * 9, b"old" * 9, b"last" * 9, b"new" * 9


def filled(folder, *contents):
    slots = Slots(folder, "bundle")
    for content in contents:
        slots.put(content)
    return slots


def held(folder):
    return [content.data for content in Slots(folder, "bundle").contents]


def test_an_empty_folder_holds_nothing(tmp_path):
    slots = Slots(tmp_path, "bundle")
    assert slots.contents == ()
    assert slots.damaged == []


def test_the_last_two_are_kept_and_numbered(tmp_path):
    filled(tmp_path, OLDEST, OLD, LAST, NEW)
    assert [(c.number, c.data) for c in Slots(tmp_path, "bundle").contents] == [(3, LAST), (4, NEW)]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_slot_is_made_by_a_rename_and_from_then_on_written_over_with_one_sync(tmp_path, monkeypatch):
    power = Power(monkeypatch)
    filled(tmp_path, NEW)
    assert power.calls == ["write", "sync", "rename", "sync"]
    filled(tmp_path, NEW, LAST)
    power.calls.clear()
    filled(tmp_path, NEW)
    assert power.calls == ["write", "sync"]
    filled(tmp_path, b"another length")
    assert power.calls == ["write", "sync", "write", "truncate", "sync"]


@pytest.mark.parametrize("before", [(), (OLDEST,), (b"longer" * 99,)])
def test_a_power_cut_at_any_byte_or_call_loses_nothing_that_was_acknowledged(before, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        power = Power(patch)
        filled(tmp_path, *before, OLD, LAST)
        power.spent = 0
        Slots(tmp_path, "bundle").put(NEW)
        steps = power.spent
    for last in range(steps):
        folder = tmp_path / str(last)
        folder.mkdir()
        filled(folder, *before, OLD, LAST)
        with monkeypatch.context() as patch, pytest.raises(PowerCutError):
            Power(patch, last)
            filled(folder, NEW)
        after = held(folder)
        assert after in ([OLD, LAST], [LAST, NEW]), last
        filled(folder, b"later")
        assert held(folder)[-1] == b"later"


@given(st.data())
def test_pages_that_reach_the_disk_in_any_order_lose_nothing(data):
    """Before the sync the disk may hold the old or the new of each page of the slot, and either length."""
    was, new = (data.draw(st.binary(max_size=80)) for _ in range(2))
    with TemporaryDirectory() as name:
        folder = Path(name)
        slots = filled(folder, was, OLD, LAST)
        slot = folder / "bundle.a"
        before = slot.read_bytes()
        slots.put(new)
        after = slot.read_bytes()
        length = data.draw(st.sampled_from([len(before), len(after)]))
        pages = data.draw(st.lists(st.booleans(), min_size=20, max_size=20))
        sources = [(after if is_new else before).ljust(20 * 8, b"\0") for is_new in pages]
        mixed = b"".join(source[8 * n : 8 * n + 8] for n, source in enumerate(sources))[:length]
        slot.write_bytes(mixed)
        assert held(folder) == ([LAST, new] if mixed == after else [OLD, LAST])
        filled(folder, b"later")
        assert held(folder)[-1] == b"later"


def test_any_changed_byte_is_found_and_the_other_slot_stands_in(tmp_path):
    filled(tmp_path, LAST, NEW)
    path = tmp_path / "bundle.b"
    sound = path.read_bytes()
    for at in range(len(sound)):
        raw = bytearray(sound)
        raw[at] ^= 0x10
        path.write_bytes(raw)
        slots = Slots(tmp_path, "bundle")
        assert [content.data for content in slots.contents] == [LAST], at
        assert slots.damaged == ["bundle.b"]


def test_a_damaged_slot_is_the_next_to_be_written(tmp_path):
    filled(tmp_path, OLD, LAST, NEW)
    (tmp_path / "bundle.c").write_bytes(b"")
    filled(tmp_path, b"newer")
    assert held(tmp_path) == [LAST, b"newer"]
    assert Slots(tmp_path, "bundle").damaged == []


@pytest.mark.parametrize("before", [(), (OLDEST,)])
def test_a_content_that_cannot_be_written_leaves_what_was_there(before, tmp_path, monkeypatch):
    slots = filled(tmp_path, *before, OLD, LAST)

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        patch.setattr("os.fdatasync", full)
        with pytest.raises(OSError, match="No space"):
            slots.put(NEW)
    assert [content.data for content in slots.contents] == [OLD, LAST]
    assert LAST in held(tmp_path)
    slots.put(NEW)
    assert held(tmp_path) == [LAST, NEW]


@pytest.mark.parametrize("contents", [(OLDEST, OLD), (OLDEST, OLD, LAST), (OLDEST, OLD, LAST, NEW)])
def test_a_slot_that_is_gone_is_found_where_newer_ones_are_left(contents, tmp_path):
    filled(tmp_path, *contents)
    assert Slots(tmp_path, "bundle").damaged == []
    newest = tmp_path / f"bundle.{'abc'[(len(contents) - 1) % 3]}"
    for path in sorted(set(tmp_path.iterdir()) - {newest}):
        raw = path.read_bytes()
        path.unlink()
        assert Slots(tmp_path, "bundle").damaged == [path.name]
        path.write_bytes(raw)
