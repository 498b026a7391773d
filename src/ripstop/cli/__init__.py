"""The command line: one file per command, each loaded only when it is the one asked for."""

from ripstop.cli.root import main

__all__ = ["main"]
