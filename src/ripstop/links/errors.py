"""What can go wrong on a link, apart by whether asking again can help."""

from __future__ import annotations

from ..core.errors import WireError


class LinkDownError(WireError):
    """Nobody answered: not connected, or no answer in time. Asking again may help."""


class LinkRefusedError(WireError):
    """The server refused: this key may not do that. Asking again does not help."""
