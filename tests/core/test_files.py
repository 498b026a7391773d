import os
import stat
from pathlib import Path

import pytest

from ripstop.core.files import PRIVATE, write_once, write_whole


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_its_owners_alone_whatever_lay_beside_it(tmp_path):
    path = tmp_path / "secret"
    beside = tmp_path / "secret.new"
    beside.write_bytes(b"left behind by a crash")
    beside.chmod(0o644)
    write_whole(path, b"secret", PRIVATE)
    assert path.read_bytes() == b"secret"
    assert mode(path) == 0o600
    assert not beside.exists()


def test_a_file_is_put_once_and_left_as_it_is_by_whoever_comes_second(tmp_path):
    path = tmp_path / "key"
    write_once(path, b"first", PRIVATE)
    with pytest.raises(FileExistsError):
        write_once(path, b"second", PRIVATE)
    assert path.read_bytes() == b"first"
    assert mode(path) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("write", [write_whole, write_once])
def test_file_and_folder_are_synced(tmp_path, monkeypatch, write):
    synced = []
    fsync = os.fsync

    def watched(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name.partition(".")[0])
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    write(tmp_path / "file", b"x")
    assert synced == ["file", tmp_path.name]
