"""Where an agent keeps what outlives its process, and whose releases it takes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TypeAlias

from ripstop.core.value import dataclass
from ripstop.core.wire.envelope import Keyring

from .ledger import FileLedger
from .memory import MemoryLedger

Ledger: TypeAlias = MemoryLedger | FileLedger
Folder: TypeAlias = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Store:
    """A folder for the ledger, the last good release and all else that an agent must not forget.

    Args:
        folder: made where it is missing; None keeps everything in memory.
        trust: keys of those who may sign releases; without one every release is refused. Needs the extra
            `signed`.
        share: bytes that the ledger may take on the disk. An agent that works alone forgets its oldest
            records within them; in a fleet it keeps all that has no receipt, and what does not fit is refused
            as on a full disk.
    """

    folder: Folder | None = None
    trust: Keyring | None = None
    share: int = 64 << 20

    def open(self, name: str) -> Ledger:
        """Open the disk of the agent of this name.

        Raises:
            LedgerError: the folder cannot be used.
        """
        if self.folder is None:
            return MemoryLedger(name)
        return FileLedger(Path(self.folder), name, self.share)
