"""The root of the command line: it finds the command, runs it, and turns errors into exit codes.

`ripstop --help` loads no command at all, so it is quick and needs no optional package. A command's module
gives `add_parser(subparsers)`, whose parser sets `func(args) -> int` as a default.

Exit codes: 0 fine, 1 finding, 2 usage, configuration or no answer, 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import ripstop
from ripstop.cli.arguments import HelpFormatter
from ripstop.cli.output import print_json
from ripstop.core.errors import (
    ConfigurationError,
    MissingExtraError,
    PolicyError,
    RipstopError,
    missing_extra,
)

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


@dataclass(frozen=True, slots=True)
class Command:
    """One command: where it lives, what it does in a line, and the extra that it needs (may be empty)."""

    module: str
    help: str
    extra: str


COMMANDS = {
    "policy": Command(
        "ripstop.cli.policy", "check, read, format, explain, compile and measure policies", "tools"
    ),
    "risk": Command(
        "ripstop.cli.risk", "rank a graph's nodes by how likely their failure is to cascade", "risk"
    ),
    "forecast": Command(
        "ripstop.cli.forecast", "train models that foresee crossings, and judge them", "forecast"
    ),
    "up": Command("ripstop.cli.up", "start the message server and the control plane", "control"),
    "agent": Command("ripstop.cli.agent", "run a sample agent that joins a control plane", "nats"),
    "sidecar": Command("ripstop.cli.sidecar", "serve agents to programs in any language, over HTTP", ""),
    "stop": Command("ripstop.cli.stop", "sign, show and send stops, and what lifts them", "nats"),
    "ledger": Command("ripstop.cli.ledger", "read and verify an agent's ledger", ""),
    "audit": Command("ripstop.cli.audit", "verify what a run recorded", "control"),
    "demo": Command("ripstop.cli.demo", "run a demonstration and write its report", "demo"),
    "warmup": Command("ripstop.cli.warmup", "compile the risk kernels ahead of their first use", "risk"),
}

_EPILOG = """examples:
  ripstop policy check policies/payload_limit.json
  ripstop risk examples/fleet.json --theta 0.3
  ripstop demo drones --agents 20
  ripstop risk whatif --help

exit codes: 0 fine, 1 finding, 2 usage, configuration or no answer, 130 interrupted
"""


# They look for nothing, so what is wrong with a document that they are given is configuration.
_SERVING = frozenset({"up", "agent", "sidecar", "demo"})


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Build the root parser, with only the command that `words` names loaded.

    Raises:
        ConfigurationError: C0001, the command needs a package that is not installed.
    """
    parser = argparse.ArgumentParser(
        prog="ripstop",
        description=ripstop.__doc__,
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ripstop {ripstop.__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    wanted = next((word for word in words if not word.startswith("-")), "")
    for name, command in COMMANDS.items():
        if name != wanted:
            subparsers.add_parser(name, help=command.help)
            continue
        try:
            module = importlib.import_module(command.module)
        except ModuleNotFoundError as error:
            raise _explain(error, command) from error
        module.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code.

    Args:
        argv: the words after the program's name; those of the process by default.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    args = argparse.Namespace()
    try:
        parser = build_parser(_words_to_complete() or words)
        _complete(parser)
        parser.parse_args(words, namespace=args)
        if not hasattr(args, "func"):
            return _show_help(parser, words)
        return _flushed(int(args.func(args)))
    except RipstopError as error:
        code = _report(_in_full(error, words), as_json=_wants_json(args, words))
        return 2 if words and words[0] in _SERVING else code
    except ModuleNotFoundError as error:
        command = COMMANDS.get(words[0]) if words else None
        if command is None or (error.name or "").partition(".")[0] == "ripstop":
            raise
        return _report(_explain(error, command), as_json=_wants_json(args, words))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader went away (`ripstop ... | head`); nothing more can be said to it
        _let_go_of_stdout()
        return 1
    except OSError as error:
        if error.errno in _FULL and not error.filename:
            _let_go_of_stdout()
            return _report(_unwritten(error), as_json=False)
        if not error.filename:
            raise
        return _report(_unusable(error), as_json=_wants_json(args, words))


def _flushed(code: int) -> int:
    """Bring out what was printed, so that what cannot be written is told by us."""
    sys.stdout.flush()
    return code


def _let_go_of_stdout() -> None:
    """Keep the interpreter from writing at its end what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unwritten(error: OSError) -> ConfigurationError:
    reason = (error.strerror or "no reason given").lower()
    return ConfigurationError(f"the output cannot be written, {reason}", code="C0010")


def _unusable(error: OSError) -> ConfigurationError:
    reason = (error.strerror or "no reason given").lower()
    return ConfigurationError(f"`{error.filename}` cannot be used, {reason}", code="C0010")


def _show_help(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Answer a command line that stops before its command: the help of what is there, as a usage error."""
    with redirect_stdout(sys.stderr):
        try:
            parser.parse_args([*words, "--help"])
        except SystemExit:
            return 2
    return 2


def _explain(error: ModuleNotFoundError, command: Command) -> ConfigurationError:
    package = (error.name or "").partition(".")[0]
    if package == "ripstop":
        raise error
    return missing_extra(package, command.extra)


def _in_full(error: RipstopError, words: Sequence[str]) -> RipstopError:
    """Name the command's own extra where a part of it is missing: one `pip install` is to be enough."""
    command = COMMANDS.get(words[0]) if words else None
    if not isinstance(error, MissingExtraError) or command is None:
        return error
    part, whole = _required(error.extra), _required(command.extra)
    return missing_extra(error.package, command.extra) if part and part < whole else error


def _required(extra: str) -> set[str]:
    """Give the packages that an extra brings; none where the metadata of the installation is not there."""
    from importlib import metadata  # nobody else needs it

    try:
        every = metadata.requires("ripstop") or []
    except metadata.PackageNotFoundError:
        return set()
    wanted = [line for line in every if f"extra == '{extra}'" in line.replace('"', "'")]
    return {re.split(r"[^\w.-]", line)[0] for line in wanted}


def _report(error: RipstopError, *, as_json: bool) -> int:
    if as_json:
        print_json({"error": error.to_json()})
    else:
        print(error, file=sys.stderr)
    return 1 if isinstance(error, PolicyError) else 2


def _wants_json(args: argparse.Namespace, words: Sequence[str]) -> bool:
    # `demo` has `--json FILE`: its errors go to stderr; before parsing, only the bare flag can be seen
    return getattr(args, "json", "--json" in words) is True


def _words_to_complete() -> list[str]:
    if "_ARGCOMPLETE" not in os.environ:
        return []
    return os.environ.get("COMP_LINE", "").split()[1:]


def _complete(parser: argparse.ArgumentParser) -> None:
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ModuleNotFoundError:
        return
    argcomplete.autocomplete(parser)
