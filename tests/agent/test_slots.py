import pytest

from agent.power import Power, PowerCutError
from ripstop.agent.slots import Slots

OLD, LAST, NEW = b"old" * 9, b"last" * 9, b"new" * 9


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
    filled(tmp_path, OLD, LAST, NEW)
    assert [(c.number, c.data) for c in Slots(tmp_path, "bundle").contents] == [(2, LAST), (3, NEW)]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_content_is_written_synced_renamed_and_the_folder_synced_in_this_order(tmp_path, monkeypatch):
    power = Power(monkeypatch)
    filled(tmp_path, NEW)
    assert power.calls == ["write", "sync", "rename", "sync"]


def test_a_power_cut_at_any_byte_or_call_loses_nothing_that_was_acknowledged(tmp_path, monkeypatch):
    """The last byte of a file may be on the disk in any order, but nothing is renamed before it is synced."""
    with monkeypatch.context() as patch:
        power = Power(patch)
        filled(tmp_path / "", OLD, LAST)
        power.spent = 0
        Slots(tmp_path, "bundle").put(NEW)
        steps = power.spent
    for last in range(steps):
        folder = tmp_path / str(last)
        folder.mkdir()
        filled(folder, OLD, LAST)
        with monkeypatch.context() as patch, pytest.raises(PowerCutError):
            Power(patch, last)
            filled(folder, NEW)
        after = held(folder)
        assert after in ([OLD, LAST], [LAST, NEW]), last
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
    filled(tmp_path, LAST, NEW)
    (tmp_path / "bundle.b").write_bytes(b"")
    filled(tmp_path, b"newer")
    assert held(tmp_path) == [LAST, b"newer"]


def test_a_content_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    slots = filled(tmp_path, OLD, LAST)

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            slots.put(NEW)
    assert held(tmp_path) == [OLD, LAST]
    slots.put(NEW)
    assert held(tmp_path) == [LAST, NEW]
