"""Runs a header with this machine's C compiler: to try out what a small device will do.

The code on the device is another compilation of the same header; here it is built as a shared library.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ripstop.backends.c99.header import C99, CFunction, CHeader, build_header
from ripstop.backends.edge.host import EdgeCompiled, Run
from ripstop.backends.edge.program import EdgeProgram
from ripstop.core.decision import Verdict
from ripstop.core.errors import ConfigurationError, InternalError
from ripstop.policy.bundle import Bundle

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off")
_LONGEST_S = 600


class C99Runner:
    """Runs one function of a library."""

    def __init__(self, library: ctypes.CDLL, function: CFunction, number: int) -> None:
        self._library = library  # holds the code in memory
        self._function = function
        self._words = function.evidence_words if function.program.action is not None else []
        count = max(len(function.program.inputs), 1)
        self._values = (ctypes.c_double * count)()
        self._found = (ctypes.c_uint64 * (1 + sum(1 + words for words in self._words)))()
        self._call = library[f"ripstop_call_{number}"]
        self._call.restype = ctypes.c_int
        self._call.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def __call__(self, values: Sequence[float]) -> Run:
        """Run once."""
        self._values[: len(values)] = list(values)
        verdict = self._call(ctypes.addressof(self._values), ctypes.addressof(self._found))
        statuses, codes, at = [], [], 0
        for words in self._words:
            statuses.append(int(self._found[at]))
            parts = self._found[at + 1 : at + 1 + words]
            codes.append(sum(int(part) << 32 * index for index, part in enumerate(parts)))
            at += 1 + words
        return Run(Verdict(verdict), tuple(statuses), tuple(codes))


def build_runners(headers: Sequence[CHeader]) -> list[C99Runner]:
    """Compile headers (with different prefixes) into one library and give a runner for each function.

    Raises:
        ConfigurationError: C0012 when there is no C compiler.
        InternalError: X0005 when the compiler refuses, or warns about, what was generated.
    """
    functions = [function for header in headers for function in header.functions]
    source = "\n".join(
        [
            *(header.text for header in headers),
            *(_wrapper(function, number) for number, function in enumerate(functions)),
        ]
    )
    library = _build(source)
    return [C99Runner(library, function, number) for number, function in enumerate(functions)]


def _wrapper(function: CFunction, number: int) -> str:
    """Write a function that takes an array of numbers and gives an array of words."""
    name = function.name
    lines = [
        f"int ripstop_call_{number}(const void *in, uint64_t *out);",
        f"int ripstop_call_{number}(const void *in, uint64_t *out)",
        "{",
    ]
    if function.program.action is None:
        return "\n".join([*lines, "    (void)out;", f"    return {name}((const {name}_inputs *)in);", "}"])
    lines += [
        f"    {name}_result found;",
        f"    {name}((const {name}_inputs *)in, &found);",
        "    (void)out;",
    ]
    at = 0
    for index, words in enumerate(function.evidence_words):
        lines.append(f"    out[{at}] = found.status_{index};")
        lines += [f"    out[{at + 1 + word}] = found.evidence_{index}[{word}];" for word in range(words)]
        at += 1 + words
    return "\n".join([*lines, "    return found.verdict;", "}"])


def _build(source: str) -> ctypes.CDLL:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ConfigurationError(
            "there is no C compiler", code="C0012", hint="install gcc or clang, or name one in `CC`"
        )
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "policy.so"
        done = subprocess.run(  # noqa: S603 (the compiler of this machine, on generated source)
            [compiler, *FLAGS, "-shared", "-fPIC", "-x", "c", "-o", str(made), "-", "-lm"],
            input=source,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        if done.returncode:
            first = (done.stderr.splitlines() or [""])[0]
            raise InternalError(f"the C compiler refuses what was generated: {first}", code="X0005")
        return ctypes.CDLL(str(made))


def build_runner(program: EdgeProgram) -> C99Runner:
    """Compile one program."""
    return build_runners([build_header([program])])[0]


class C99Compiled(EdgeCompiled):
    """Policies compiled to C, run on this machine."""

    def __init__(self, bundle: Bundle) -> None:
        """Take a bundle.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
        """
        super().__init__(bundle, C99, build_runner)
