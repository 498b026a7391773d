"""Bringing several files to stable storage at once: each alone would wait for a flush of the disk's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Thread


class _Sync(Thread):
    """One file's sync; its handle is closed behind it."""

    def __init__(self, handle: int) -> None:
        super().__init__(name="ripstop-sync", daemon=True)
        self._handle = handle
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Sync the file."""
        try:
            os.fdatasync(self._handle)
        except BaseException as error:  # noqa: BLE001 - it is raised where the syncs are waited for
            self.failure = error
        finally:
            os.close(self._handle)


def sync_files(handles: Sequence[int]) -> list[OSError | None]:
    """Sync files at the same time, which a disk does by one flush; give what failed, file by file.

    Args:
        handles: of the files; they are closed.
    """
    syncs = [_Sync(handle) for handle in handles]
    started = [sync for sync in syncs[1:] if _starts(sync)]
    for sync in syncs:
        if sync not in started:
            sync.run()
    for sync in started:
        sync.join()
    for sync in syncs:
        if sync.failure is not None and not isinstance(sync.failure, OSError):
            raise sync.failure
    return [sync.failure if isinstance(sync.failure, OSError) else None for sync in syncs]


def _starts(sync: Thread) -> bool:
    try:
        sync.start()
    except RuntimeError:  # no threads are to be had, as at the interpreter's end
        return False
    return True
