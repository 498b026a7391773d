"""A server's folder as others find it: who holds it, and the ground's login in it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import IO

from ..core.errors import ConfigurationError
from .nats import Login


def hold(folder: Path) -> IO[str]:
    """Take a server's folder for as long as the lock that this gives is open.

    Raises:
        ConfigurationError: C0502 where a control plane holds it.
    """
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConfigurationError(
            f"`{folder.parent}` is in use by another control plane",
            code="C0502",
            hint="one control plane at a time; choose another folder with `--data`",
        ) from error
    return lock


def is_held(folder: Path) -> bool:
    """Whether a control plane holds a server's folder; nothing there is written."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def control_login(folder: Path) -> Login:
    """Give the ground's own login, for an operator's command beside it; `folder` is the data folder.

    Its inbox is not that of the control plane: what answers there can answer nothing that the ground asks.

    Raises:
        ConfigurationError: C0306 where no server has kept one there.
    """
    try:
        held = json.loads((folder / "nats" / "secrets.json").read_text())
        return Login("ground", seed=str(held["control"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"`{folder}` is not the data folder of a `ripstop up`", code="C0306",
            hint="give the folder that it was started with (`--data`)",
        ) from error  # fmt: skip
