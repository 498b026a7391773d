"""What the policy commands have in common: files, vocabulary, context, trace."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import existing, source
from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError
from ripstop.policy import Policy, load
from ripstop.policy.loader import SUFFIXES, is_policy_file

if TYPE_CHECKING:
    from ripstop.backends.python import Compiled
    from ripstop.policy.state import State


def add_policies(parser: argparse.ArgumentParser) -> None:
    """Add the policies' files and `--vocabulary`."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        type=existing,
        help="a policy, or a folder of policies; - for stdin",
    )
    add_vocabulary(parser)


def add_vocabulary(parser: argparse.ArgumentParser) -> None:
    """Add `--vocabulary`."""
    parser.add_argument(
        "--vocabulary", type=existing, metavar="FILE", help="use this vocabulary instead of the named one"
    )


def add_situation(parser: argparse.ArgumentParser) -> None:
    """Add what a decision depends on: the context, what was observed, the moment."""
    parser.add_argument(
        "--context", default="{}", metavar="JSON", help="the values, or @FILE with them, @- for stdin"
    )
    parser.add_argument(
        "--trace", type=source, metavar="FILE", help="what was observed: lines of [t_us, {signal: value}]"
    )
    parser.add_argument(
        "--t-us", type=int, metavar="US", help="the moment (default: the trace's end, else 0)"
    )


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision depends on, as the command line gives it."""

    context: Mapping[str, Json]
    trace: Sequence[tuple[int, Mapping[str, Json]]]
    t_us: int

    def observed(self, compiled: Compiled) -> State:
        """Give the state after the whole trace."""
        state = compiled.start()
        for t_us, signals in self.trace:
            state = compiled.observe(state, signals, t_us)
        return state


def read_situation(args: argparse.Namespace) -> Situation:
    """Read what `add_situation` has added.

    Raises:
        ConfigurationError: C0005, C0006, as `read_context` and `read_trace` raise them.
    """
    trace = read_trace(args.trace)
    t_us = args.t_us if args.t_us is not None else max((moment for moment, _ in trace), default=0)
    return Situation(read_context(args.context), trace, t_us)


def expanded(files: Sequence[str]) -> list[Path]:
    """Replace folders by the policies in them, sorted.

    Raises:
        ConfigurationError: C0004, a folder holds none.
    """
    paths: list[Path] = []
    for file in files:
        path = Path(file)
        if not path.is_dir():
            paths.append(path)
            continue
        inside = sorted(
            each for each in path.rglob("*") if is_policy_file(each.relative_to(path)) and each.is_file()
        )
        if not inside:
            raise ConfigurationError(
                f"folder `{file}` holds no policy",
                code="C0004",
                hint=f"policies end in {', '.join(SUFFIXES)}",
            )
        paths.extend(inside)
    return paths


def loaded(args: argparse.Namespace) -> list[Policy]:
    """Load the policies that the command line names.

    Raises:
        PolicyRejectedError: the first that does not load.
    """
    return [load(path, args.vocabulary) for path in expanded(args.files)]


def read_context(text: str) -> dict[str, Json]:
    """Read the context from the command line, or from a file after `@`.

    Raises:
        ConfigurationError: C0005, it is no JSON object.
    """
    try:
        content = Path(source(text[1:])).read_text() if text.startswith("@") else text
        context = json.loads(content, object_pairs_hook=_distinct)
    except KeyError as twice:
        message = f"the context cannot be read, key `{twice.args[0]}` stands twice in one object"
        raise ConfigurationError(message, code="C0005") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = (error.strerror or "unreadable").lower() if isinstance(error, OSError) else "it is not JSON"
        if isinstance(error, json.JSONDecodeError):
            reason = f"{reason} at line {error.lineno}, column {error.colno}"
        raise ConfigurationError(
            f"the context cannot be read, {reason}", code="C0005", hint='like {"a": 1}'
        ) from None
    if not isinstance(context, dict):
        raise ConfigurationError("the context is not a JSON object", code="C0005", hint='like {"a": 1}')
    return context


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, value in pairs:
        if key in found:
            raise KeyError(key)
        found[key] = value
    return found


def read_trace(file: str | None) -> list[tuple[int, Mapping[str, Json]]]:
    """Read what was observed: a line for each moment.

    Raises:
        ConfigurationError: C0006, a line is not `[t_us, {signal: value}]`.
    """
    moments: list[tuple[int, Mapping[str, Json]]] = []
    try:
        lines = [] if file is None else Path(file).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "unreadable").lower() if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"`{file}` cannot be read, {reason}", code="C0006") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not _is_moment(record):
            raise ConfigurationError(
                f"line {number} of `{file}` is no moment", code="C0006", hint='like [1000000, {"load": 0.5}]'
            )
        moments.append((record[0], record[1]))
    return moments


def _is_moment(record: object) -> bool:
    return (
        isinstance(record, list)
        and len(record) == 2
        and isinstance(record[0], int)
        and not isinstance(record[0], bool)
        and isinstance(record[1], dict)
    )
