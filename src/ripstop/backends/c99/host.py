"""Runs a header with this machine's C compiler: to try out what a small device will do.

The code on the device is another compilation of the same header; here it is built as a shared library.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ripstop.backends.c99.header import C99, CFunction, CHeader, build_header
from ripstop.backends.edge.device import Device
from ripstop.backends.edge.host import EdgeCompiled, Run
from ripstop.backends.edge.program import EdgeProgram
from ripstop.backends.edge.spending import Remembering
from ripstop.core.decision import Verdict
from ripstop.core.errors import ConfigurationError, InternalError
from ripstop.policy.bundle import Bundle

FLAGS = (
    *("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off"),
    "-Wno-unused-function",  # clang wonders about inline ones outside of a header, which this source is
)
_LONGEST_S = 600


class C99Runner:
    """Runs one function of a library; one that takes the state is told where that is, and the time."""

    def __init__(self, library: ctypes.CDLL, function: CFunction, number: int) -> None:
        self._library = library  # holds the code in memory
        self._function = function
        self._words = function.evidence_words if function.program.action is not None else []
        count = max(len(function.given), 1)
        self._values = (ctypes.c_double * count)()
        self._found = (ctypes.c_uint64 * (1 + sum(1 + words for words in self._words)))()
        self._call = library[f"ripstop_call_{number}"]
        self._call.restype = ctypes.c_int
        self._call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]

    def __call__(self, values: Sequence[float], state: int | None = None, t_us: int = 0) -> Run:
        """Run once."""
        self._values[: len(values)] = list(values)
        verdict = self._call(ctypes.addressof(self._values), ctypes.addressof(self._found), state, t_us)
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
    pairs = [(header, function) for header in headers for function in header.functions]
    library = build_library(
        [
            *(header.text for header in headers),
            *(wrapper(header, function, number) for number, (header, function) in enumerate(pairs)),
        ]
    )
    return [C99Runner(library, function, number) for number, (_, function) in enumerate(pairs)]


def wrapper(header: CHeader, function: CFunction, number: int) -> str:
    """Write a function that takes an array of numbers and gives an array of words."""
    name = function.name
    kept = f"(const {header.prefix}_state *)state, t_us, " if function.takes_state else ""
    lines = [
        f"int ripstop_call_{number}(const void *in, uint64_t *out, const void *state, int64_t t_us);",
        f"int ripstop_call_{number}(const void *in, uint64_t *out, const void *state, int64_t t_us)",
        "{",
        "    (void)out; (void)state; (void)t_us;",
    ]
    if function.program.action is None:
        return "\n".join([*lines, f"    return {name}({kept}(const {name}_inputs *)in);", "}"])
    lines += [f"    {name}_result found;", f"    {name}({kept}(const {name}_inputs *)in, &found);"]
    at = 0
    for index, words in enumerate(function.evidence_words):
        lines.append(f"    out[{at}] = found.status_{index};")
        lines += [f"    out[{at + 1 + word}] = found.evidence_{index}[{word}];" for word in range(words)]
        at += 1 + words
    return "\n".join([*lines, "    return found.verdict;", "}"])


def build_library(parts: Sequence[str]) -> ctypes.CDLL:
    """Compile parts of a source.

    Raises:
        ConfigurationError: C0012 when there is no C compiler.
        InternalError: X0005 when the compiler refuses, or warns about, what was generated.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ConfigurationError(
            "there is no C compiler", code="C0012", hint="install gcc or clang, or name one in `CC`"
        )
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "policy.so"
        done = subprocess.run(  # noqa: S603 (the compiler of this machine, on generated source)
            [compiler, *FLAGS, "-shared", "-fPIC", "-x", "c", "-o", str(made), "-", "-lm"],
            input="\n".join([*parts, ""]),
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


class C99Board:
    """Runs a header that remembers; the state is memory of this process."""

    def __init__(self, library: ctypes.CDLL, header: CHeader, runners: Sequence[C99Runner]) -> None:
        self._library, self._runners, self._prefix = library, runners, header.prefix
        self._state = ctypes.create_string_buffer(self._function("size", ctypes.c_int64)())
        self._at = ctypes.addressof(self._state)
        self._observe = self._function(
            "observe", ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
        )
        self._commits = [
            self._function(name, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
            for name, _ in (header.state.commits if header.state else ())
        ]
        self._snapshot = ctypes.create_string_buffer(self._function("snapshot_size", ctypes.c_int64)())
        self.start()

    @property
    def state_bytes(self) -> int:
        """How much memory the state takes."""
        return len(self._state)

    def start(self) -> None:
        """Forget everything."""
        self._function("start", None, ctypes.c_void_p)(self._at)

    def observe(self, t_us: int, sampled: Sequence[int], numbers: Sequence[float]) -> int:
        """Take samples; give how many were late."""
        given = (ctypes.c_double * max(len(numbers), 1))(*numbers)
        words = (ctypes.c_uint64 * len(sampled))(*sampled)
        return int(self._observe(self._at, ctypes.addressof(given), ctypes.addressof(words), t_us))

    def run(self, program: int, t_us: int, numbers: Sequence[float]) -> Run:
        """Run a program."""
        return self._runners[program](numbers, self._at, t_us)

    def commit(self, number: int, t_us: int, costs: Sequence[float]) -> bool:
        """Consume what an action takes."""
        given = (ctypes.c_double * max(len(costs), 1))(*costs)
        return bool(self._commits[number](self._at, t_us, ctypes.addressof(given)))

    def save(self) -> bytes:
        """Give a snapshot."""
        self._function("save", None, ctypes.c_void_p, ctypes.c_void_p)(
            self._at, ctypes.addressof(self._snapshot)
        )
        return self._snapshot.raw

    def restore(self, content: bytes) -> bool:
        """Take a snapshot, unless it is not one of this memory."""
        take = self._function("restore", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
        return bool(take(self._at, content, len(content)))

    def _function(self, name: str, result: type | None, *arguments: type) -> Callable[..., int]:
        made = self._library[f"ripstop_board_{self._prefix}_{name}"]
        made.restype = result
        made.argtypes = list(arguments)
        return made


def build_boards(headers: Sequence[CHeader]) -> list[C99Board]:
    """Compile headers that remember (with different prefixes) into one library; give a board for each.

    Raises:
        ConfigurationError: C0012 when there is no C compiler.
        InternalError: X0005 when the compiler refuses, or warns about, what was generated.
    """
    if not headers:
        return []
    pairs = [(header, function) for header in headers for function in header.functions]
    wrappers = [wrapper(header, function, number) for number, (header, function) in enumerate(pairs)]
    texts = [header.text for header in headers]
    library = build_library([*texts, *map(_board_wrappers, headers), *wrappers])
    runners = iter([C99Runner(library, function, number) for number, (_, function) in enumerate(pairs)])
    return [C99Board(library, header, [next(runners) for _ in header.functions]) for header in headers]


def _board_wrappers(header: CHeader) -> str:
    """Write functions that take plain pointers."""
    p = header.prefix
    own = f"ripstop_board_{p}"
    state, kept = f"({p}_state *)m", header.state
    words = ", ".join(f"sampled[{word}]" for word in range(kept.masks if kept is not None else 1))
    made = [
        (f"int64_t {own}_size(void)", f"return (int64_t)sizeof({p}_state);"),
        (f"int64_t {own}_snapshot_size(void)", f"return {p.upper()}_SNAPSHOT_BYTES;"),
        (f"void {own}_start(void *m)", f"{p}_start({state});"),
        (
            f"int64_t {own}_observe(void *m, const void *in, const uint64_t *sampled, int64_t t_us)",
            f"return {p}_observe({state}, (const {p}_samples *)in, {words}, t_us);",
        ),
        (f"void {own}_save(const void *m, uint8_t *bytes)", f"{p}_save((const {p}_state *)m, bytes);"),
        (
            f"int {own}_restore(void *m, const uint8_t *bytes, size_t count)",
            f"return {p}_restore({state}, bytes, count);",
        ),
    ]
    for name, count in kept.commits if kept is not None else ():
        costs = "".join(f", costs[{index}]" for index in range(count))
        made.append(
            (
                f"int64_t {own}_{name}(void *m, int64_t t_us, const double *costs)",
                f"(void)costs; return {p}_{name}({state}, t_us{costs});",
            )
        )
    return "\n".join(f"{head};\n{head}\n{{\n    {body}\n}}" for head, body in made)


def build_board(programs: Sequence[EdgeProgram], kept: Remembering) -> C99Board:
    """Compile programs that remember."""
    return build_boards([build_header(programs, "ripstop", kept)])[0]


class C99Compiled(EdgeCompiled):
    """Policies compiled to C, run on this machine."""

    def device(self) -> Device:
        """Give a device that remembers by itself.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
            ConfigurationError: C0013 where the policies have nothing to remember.
        """
        return Device(self.bundle, C99, build_board)

    def __init__(self, bundle: Bundle) -> None:
        """Take a bundle.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
        """
        super().__init__(bundle, C99, build_runner)
