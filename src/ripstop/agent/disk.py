"""Where an agent keeps what outlives its process, and whose releases it takes."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from ripstop.core.wire.envelope import Keyring

from .ledger import FileLedger, MemoryLedger

Ledger: TypeAlias = MemoryLedger | FileLedger
Folder: TypeAlias = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Store:
    """A folder for the ledger, the last good release and all else that an agent must not forget.

    Args:
        folder: made where it is missing; None keeps everything in memory.
        trust: keys of those who may sign releases; without one every release is refused. Needs the extra
            `signed`.
    """

    folder: Folder | None = None
    trust: Keyring | None = None

    def open(self, name: str) -> Ledger:
        """Open the disk of the agent of this name.

        Raises:
            LedgerError: the folder cannot be used.
        """
        return MemoryLedger(name) if self.folder is None else FileLedger(Path(self.folder), name)
