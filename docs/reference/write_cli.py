"""Write docs/reference/cli.md from the parsers themselves: `make docs`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ripstop.cli.root import COMMANDS, build_parser

WIDTH = 100
PAGE = Path(__file__).with_name("cli.md")

HEAD = """# The command line

This page is written by `make docs` from the commands' own help. The examples run in a checkout.

- **Exit codes** are the same everywhere: 0 fine, 1 a finding (of a policy, a graph, a record), 2 usage,
  configuration or no answer (a missing file or extra, a server that is not there), 130 interrupted.
- **Errors** are one line on stderr; with a bare `--json` they are `{"error": {...}}` on stdout, with code,
  place and hint apart. Every code has an entry in [errors.md](errors.md).
- **`--json`** prints one object (commands that run on print an object a line) with the keys that the table
  names. A figure that is not finite is null.
- **Files**: `-` stands for standard input where a policy, a graph, a log or a series is read.
- **Tables** become a block of lines for each row where the terminal is too narrow; into a pipe each row is
  one line. There are no colours but in the demo's progress, which keeps to `NO_COLOR`.
- **Completion**: `pip install 'ripstop[tools]'`, then in bash or zsh
  `eval "$(register-python-argcomplete ripstop)"` (in a zsh that says `compdef` is not found, first
  `autoload -Uz compinit && compinit`), in fish `register-python-argcomplete --shell fish ripstop | source`.
"""


def page() -> str:
    """Give the whole page."""
    sections = [
        section(leaf)
        for name in COMMANDS
        for leaf in leaves(build_parser([name]))
        if leaf.prog.split()[1] == name
    ]
    return "\n".join([HEAD, *sections])


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Find the parsers that end in something to run."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser
        return
    for child in groups[0].choices.values():
        yield from leaves(child)


def section(parser: argparse.ArgumentParser) -> str:
    """Describe one command line: what it does, its words, its options, its examples."""
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    words = wrapped([parser.prog, *(usage(action) for action in actions if action.dest != "help")])
    rows = [
        f"| `{escaped(spelled(action))}` | {escaped(meaning(action))} |"
        for action in actions
        if action.dest != "help"
    ]
    table = ["| word | meaning |", "|---|---|", *rows, ""] if rows else []
    epilog = [line.rstrip() for line in (parser.epilog or "").strip().splitlines()]
    parts = [
        f"## `{parser.prog}`",
        "",
        (parser.description or "").strip(),
        "",
        "```",
        words,
        "```",
        "",
        *table,
    ]
    return "\n".join([*parts, "```", *epilog, "```", ""])


def wrapped(words: list[str]) -> str:
    """Put the words on lines of at most `WIDTH`, those after the first indented."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}")
    return "\n".join(lines)


def usage(action: argparse.Action) -> str:
    """Give the word of a usage line."""
    text = spelled(action) if action.option_strings else argument(action)
    return text if action.required else f"[{text}]"


def spelled(action: argparse.Action) -> str:
    """Give an option's long name with its argument, or a positional's name."""
    if not action.option_strings:
        return argument(action)
    name = max(action.option_strings, key=len)
    if isinstance(action, argparse.BooleanOptionalAction):
        return "/".join(action.option_strings)
    return name if action.nargs == 0 else f"{name} {argument(action)}"


def argument(action: argparse.Action) -> str:
    """Give an argument's name as often as it may stand."""
    name = action.metavar
    if isinstance(name, tuple):
        return " ".join(name)
    if not isinstance(name, str):
        name = "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
    if isinstance(action.nargs, int):
        return " ".join([name] * action.nargs)
    return f"{name}..." if action.nargs in ("+", "*") else name


def meaning(action: argparse.Action) -> str:
    """Give an action's help with its default filled in."""
    text = action.help or ""
    return " ".join(text.replace("%(default)s", str(action.default)).replace("%%", "%").split())


def escaped(text: str) -> str:
    """Give a text as a table's cell may hold it."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
