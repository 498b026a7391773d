"""Power cuts: the calls that bring bytes to a disk, of which any may be the last."""

import os
from pathlib import Path


class PowerCutError(BaseException):
    """The power is gone."""


class Power:
    """Counts what is written, byte by byte and call by call, and fails at a chosen count.

    A write is cut after any of its bytes; a sync, a rename or a change of length happens or not.
    """

    def __init__(self, patch, last=None):
        self.spent = 0
        self.calls = []
        self._last = last
        self._fdopen, self._replace, self._fsync = os.fdopen, Path.replace, os.fsync
        patch.setattr(os, "fdopen", lambda handle, *a, **k: _File(self._fdopen(handle, *a, **k), self))
        patch.setattr(Path, "replace", lambda path, target: self._replaced(path, target))
        patch.setattr(os, "fsync", self._synced)
        self._pwrite, self._ftruncate, self._fdatasync = os.pwrite, os.ftruncate, os.fdatasync
        patch.setattr(os, "pwrite", self._written_at)
        patch.setattr(os, "ftruncate", self._truncated)
        patch.setattr(os, "fdatasync", self._data_synced)

    def left(self, wanted):
        """Give how much of something may still happen; cut the power where it is nothing at all."""
        if self._last is not None and self.spent >= self._last:
            raise PowerCutError
        given = wanted if self._last is None else min(wanted, self._last - self.spent)
        self.spent += given
        return given

    def _replaced(self, path, target):
        self.calls.append("rename")
        self.left(1)
        return self._replace(path, target)

    def _synced(self, handle):
        self.calls.append("sync")
        self.left(1)
        return self._fsync(handle)

    def _written_at(self, handle, raw, offset):
        self.calls.append("write")
        given = self.left(len(raw))
        self._pwrite(handle, raw[:given], offset)
        if given < len(raw):
            raise PowerCutError
        return given

    def _truncated(self, handle, length):
        self.calls.append("truncate")
        self.left(1)
        return self._ftruncate(handle, length)

    def _data_synced(self, handle):
        self.calls.append("sync")
        self.left(1)
        return self._fdatasync(handle)


class _File:
    def __init__(self, file, power):
        self._file = file
        self._power = power

    def write(self, raw):
        self._power.calls.append("write")
        given = self._power.left(len(raw))
        self._file.write(raw[:given])
        self._file.flush()
        if given < len(raw):
            raise PowerCutError
        return given

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()
