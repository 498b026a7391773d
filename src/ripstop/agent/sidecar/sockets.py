"""Where the sidecar listens, and who may speak: a socket with mode 0600, a loopback port behind a token."""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path

from ripstop.core.errors import ConfigurationError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")


def bind_unix(path: Path) -> socket.socket:
    """Bind a socket that only its owner may use; one that nobody listens on any more is replaced.

    Raises:
        ConfigurationError: C0381 somebody listens there, C0382 it cannot be made.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        before = os.umask(0o177)  # the socket is never there with more than mode 0600
        try:
            bound.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        bound.close()
        raise ConfigurationError(
            f"socket `{path}` cannot be made: {(error.strerror or str(error)).lower()}", code="C0382"
        ) from error
    except ConfigurationError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def _clear(path: Path) -> None:
    """Remove a socket that was left behind.

    Raises:
        ConfigurationError: C0381 somebody listens there, C0382 it is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"`{path}` is there already, and no socket", code="C0382")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ConfigurationError(
        f"somebody listens on socket `{path}` already",
        code="C0381",
        hint="stop the other sidecar, or give this one a socket of its own",
    )


def bind_loopback(port: int) -> socket.socket:
    """Bind a port of 127.0.0.1; 0 takes a free one.

    Raises:
        ConfigurationError: C0383.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or "it is none"
        raise ConfigurationError(
            f"port `{port}` of 127.0.0.1 cannot be had: {reason.lower()}", code="C0383"
        ) from error
    bound.setblocking(False)
    return bound


def read_token(path: Path) -> str:
    """Read the token, or draw one and write it, readable by its owner alone, where there is no file.

    Raises:
        ConfigurationError: C0384 it cannot be read or made, others may read it, or it holds no token.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(made, "w") as file:
                file.write(os.urandom(32).hex() + "\n")
        mode, token = path.stat().st_mode, path.read_bytes()[:1024].decode("latin-1").strip()
    except OSError as error:
        raise ConfigurationError(
            f"token file `{path}` cannot be read or made: {(error.strerror or str(error)).lower()}",
            code="C0384",
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"token file `{path}` can be read by others", code="C0384", hint=f"chmod 600 {path}"
        )
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            f"token file `{path}` holds no token, expected 16 to 512 characters of A-Z a-z 0-9 . _ ~ + / = -",
            code="C0384",
        )
    return token
