"""What a running `ripstop up` keeps in its data folder for agents on its own machine: address and token."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ripstop.core.errors import ConfigurationError

_FILE = "invitation.json"


@dataclass(frozen=True, slots=True)
class Invitation:
    """The server's address and the token that lets the next device in."""

    server: str
    token: str

    @classmethod
    def read(cls, folder: Path) -> Invitation:
        """Read what is in force in a data folder.

        Raises:
            ConfigurationError: C0306, no `ripstop up` keeps one there.
        """
        try:
            held = json.loads((folder / _FILE).read_text())
            return cls(str(held["server"]), str(held["token"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"`{folder}` invites nobody",
                code="C0306",
                hint="give the data folder of a `ripstop up` that runs on this machine",
            ) from error

    def write(self, folder: Path) -> None:
        """Put it into a data folder, for the folder's owner alone."""
        from ripstop.links.identity import write_private

        write_private(folder / _FILE, json.dumps(asdict(self)))

    @staticmethod
    def withdraw(folder: Path) -> None:
        """Take it out: nobody is let in any more."""
        (folder / _FILE).unlink(missing_ok=True)
