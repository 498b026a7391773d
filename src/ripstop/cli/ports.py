"""Ports as options give them."""

from __future__ import annotations

import argparse


def port(text: str) -> int:
    """Read a port's number; 0 stands for any free one.

    Raises:
        ArgumentTypeError: it is none.
    """
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got `{text}`")
    return value
