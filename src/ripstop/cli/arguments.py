"""How every command's parser is made, and the values that options take."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.core.errors import ConfigurationError

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

STDIN = "/dev/stdin"


class HelpFormatter(argparse.HelpFormatter):
    """Wrap a help text's paragraphs to the terminal; lines that are indented stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(each if "\n  " in each else textwrap.fill(each, width) for each in paragraphs)


def add_command(
    commands: Subparsers,
    name: str,
    help: str,  # noqa: A002 (argparse's own word)
    epilog: str,
    description: str = "",
) -> argparse.ArgumentParser:
    """Add one command or a group of them; its description is its help as a sentence, or one of its own."""
    return commands.add_parser(
        name,
        help=help,
        description=description or f"{help[0].upper()}{help[1:]}.",
        epilog=epilog,
        formatter_class=HelpFormatter,
    )


def add_verbs(parser: argparse.ArgumentParser) -> Subparsers:
    """Let commands follow; a line that stops before them is answered with the help."""
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def add_json(parser: argparse.ArgumentParser, fields: str) -> None:
    """Add `--json`; `fields` names what the object holds, as in `files: [file, ok]`."""
    parser.add_argument("--json", action="store_true", help=f"print JSON: {fields}")


def add_top(parser: argparse.ArgumentParser, what: str, default: int = 20) -> None:
    """Add `--top`: how many lines of a long answer are shown."""
    parser.add_argument(
        "--top",
        type=whole(0),
        default=default,
        metavar="N",
        help=f"{what} shown, 0 for all (default {default})",
    )


def source(text: str) -> str:
    """Read a file's name; `-` stands for standard input."""
    return STDIN if text == "-" else text


def existing(text: str) -> str:
    """Read the name of a file or folder that is there; `-` stands for standard input.

    Raises:
        ConfigurationError: C0008, it is not there.
    """
    file = source(text)
    if not Path(file).exists():
        raise ConfigurationError(f"`{file}` cannot be read, no such file or directory", code="C0008")
    return file


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make the reader of whole numbers from `least` to `most`."""
    expected = f"{least} or more" if most is None else f"{least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected a whole number, {expected}, got `{text}`")
        return value

    return read


def number(least: float, most: float = 1e9) -> Callable[[str], float]:
    """Make the reader of numbers from `least` to `most`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, got `{text}`")
        return value

    return read


def port(text: str) -> int:
    """Read a port's number; 0 stands for any free one.

    Raises:
        ArgumentTypeError: it is none.
    """
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got `{text}`")
    return value
