"""Runs a module under wasmtime, through calls whose arguments and results lie in memory made beforehand.

wasmtime-py's own `Func.__call__` asks for the function's type and converts every value anew, at 1 to 30
times the cost. `wasmtime_func_call_unchecked` takes an array of 16-byte values, which one `pack_into` fills.
"""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

from ripstop.backends.edge.device import Device
from ripstop.backends.edge.host import EdgeCompiled, Run
from ripstop.backends.edge.inputs import Held, Look, Surprise
from ripstop.backends.edge.program import EdgeProgram
from ripstop.backends.edge.snapshots import snapshot_bytes
from ripstop.backends.edge.spending import Remembering, given, remembers
from ripstop.backends.wasm.encoding import F64, I32, I64
from ripstop.backends.wasm.engine import WASM
from ripstop.backends.wasm.memory import inbox
from ripstop.backends.wasm.module import WasmFunction, WasmModule, build_module
from ripstop.core.canonical import Json
from ripstop.core.decision import Verdict
from ripstop.core.errors import InternalError, missing_extra
from ripstop.policy.bundle import Bundle

if TYPE_CHECKING:
    import wasmtime

_VALUE = 16  # bytes of a wasmtime_val_raw_t
_LETTERS: Mapping[int, str] = {I32: "i12x", I64: "Q8x", F64: "d8x"}
_GIVEN: Mapping[int, str] = {I64: "q8x", F64: "d8x"}
Kinds: TypeAlias = "Sequence[int]"
_VERDICTS: Mapping[int, Verdict] = {int(each): each for each in Verdict}


@cache
def shared_engine() -> wasmtime.Engine:
    """Give the engine of this process."""
    try:
        import wasmtime
    except ImportError:
        raise missing_extra("wasmtime", "wasm") from None
    engine = wasmtime.Engine()
    atexit.register(engine.close)  # before the interpreter takes away what its finaliser needs
    return engine


class Entry:
    """One function of an instance, ready to be called with numbers; not to be shared between threads."""

    def __init__(
        self, instance: wasmtime.Instance, store: wasmtime.Store, name: str, kinds: tuple[Kinds, Kinds]
    ) -> None:
        """Look a function up.

        Args:
            instance: of a module.
            store: that it lives in.
            name: of the function.
            kinds: the types of its parameters, and of its results.
        """
        import wasmtime
        from wasmtime import _ffi

        self.store, self.instance = store, instance
        exported = instance.exports(store)[name]
        if not isinstance(exported, wasmtime.Func):
            raise InternalError(f"the module exports no function `{name}`", code="X0004")
        self.function = exported
        parameters, results = kinds
        self._size = max(len(parameters), len(results), 1)
        self._memory = ctypes.create_string_buffer(self._size * _VALUE)
        self._pack = Struct("<" + "".join(_GIVEN[kind] for kind in parameters)).pack_into
        self._unpack = Struct("<" + "".join(_LETTERS[kind] for kind in results)).unpack_from
        prototype = ctypes.CFUNCTYPE(
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
        )
        raw = prototype(("wasmtime_func_call_unchecked", _ffi.dll))
        self._trap = ctypes.c_void_p()
        self._arguments = (
            ctypes.cast(self.store._context(), ctypes.c_void_p),
            ctypes.cast(ctypes.pointer(exported._func), ctypes.c_void_p),
            ctypes.cast(self._memory, ctypes.c_void_p),
            self._size,
            ctypes.cast(ctypes.pointer(self._trap), ctypes.c_void_p),
        )
        self._raw: Callable[..., int | None] = raw

    def __call__(self, values: Sequence[float]) -> tuple[float, ...]:
        """Call with the numbers of the parameters, in order; give the results.

        Raises:
            InternalError: X0004 when the code trapped, which no module made here can.
        """
        memory = self._memory
        self._pack(memory, 0, *values)
        context, function, raw, size, trap = self._arguments
        if self._raw(context, function, raw, size, trap) is not None or self._trap.value:
            raise InternalError("a policy's code trapped", code="X0004")
        return self._unpack(memory)


class Call(Entry):
    """A function of a module that remembers nothing, in an instance of its own."""

    def __init__(self, module: WasmModule, function: WasmFunction, engine: wasmtime.Engine) -> None:
        import wasmtime

        store = wasmtime.Store(engine)
        instance = wasmtime.Instance(store, wasmtime.Module(engine, module.code), [])
        kinds = ([F64] * len(function.program.inputs), function.results)
        super().__init__(instance, store, function.name, kinds)


class WasmRunner:
    """Runs one program as a module."""

    def __init__(self, program: EdgeProgram) -> None:
        self.program = program
        self.module = build_module([program])
        self.call = Call(self.module, self.module.functions[0], shared_engine())

    def __call__(self, values: Sequence[float]) -> Run:
        """Run once."""
        return run_of(self.program, self.call(values))


def run_of(program: EdgeProgram, results: Sequence[float]) -> Run:
    """Take the results of a program's function apart."""
    policies = program.policies if program.action is not None else ()
    count = 1 + sum(1 + policy.words for policy in policies)  # the bounds follow
    found = [int(value) for value in results[:count]]
    statuses, codes = [], []
    at = 1
    for policy in policies:
        words = found[at + 1 : at + 1 + policy.words]
        statuses.append(found[at])
        codes.append(sum(word << 64 * index for index, word in enumerate(words)))
        at += 1 + policy.words
    return Run(_VERDICTS[found[0]], tuple(statuses), tuple(codes))


class WasmBoard:
    """Runs a module that remembers, in an instance of its own."""

    def __init__(self, programs: Sequence[EdgeProgram], kept: Remembering) -> None:
        import wasmtime

        engine = shared_engine()
        self.module = build_module(programs, remembering=kept)
        self._programs, self._memory_of = programs, kept.memory
        self.store = wasmtime.Store(engine)
        self.instance = wasmtime.Instance(self.store, wasmtime.Module(engine, self.module.code), [])
        memory = self.instance.exports(self.store)["memory"]
        if not isinstance(memory, wasmtime.Memory):
            raise InternalError("the module exports no memory", code="X0004")
        self._memory = memory
        samples = [F64] * len(kept.memory.samples)
        words = [I64] * len(kept.memory.words)
        self._observe = self._entry("observe", ([I64, *words, *samples], [I64]))
        self._start = self._entry("start", ([], []))
        self._save = self._entry("save", ([], [I32]))
        self._restore = self._entry("restore", ([], [I32]))
        self._runs = [
            self._entry(function.name, (self._parameters(function.program), function.results))
            for function in self.module.functions
        ]
        self._commits = [
            self._entry(made.name, ([I64, *[F64] * len(made.costs)], [I64]))
            for made in kept.public
            if made.name.startswith("commit")
        ]

    def _entry(self, name: str, kinds: tuple[Kinds, Kinds]) -> Entry:
        return Entry(self.instance, self.store, name, kinds)

    def _parameters(self, program: EdgeProgram) -> list[int]:
        numbers = [F64] * len(given(program, has_memory=True))
        return [I64, *numbers] if remembers(program) else numbers

    def start(self) -> None:
        """Forget everything."""
        self._start(())

    def observe(self, t_us: int, sampled: Sequence[int], numbers: Sequence[float]) -> int:
        """Take samples; give how many were late."""
        signed = [word - (word >> 63 << 64) for word in sampled]
        return int(self._observe((t_us, *signed, *numbers))[0])

    def run(self, program: int, t_us: int, numbers: Sequence[float]) -> Run:
        """Run a program."""
        each = self._programs[program]
        values = (t_us, *numbers) if remembers(each) else numbers
        return run_of(each, self._runs[program](values))

    def commit(self, number: int, t_us: int, costs: Sequence[float]) -> bool:
        """Consume what an action takes."""
        return bool(self._commits[number]((t_us, *costs))[0])

    def save(self) -> bytes:
        """Give a snapshot."""
        (size,) = self._save(())
        return bytes(self._memory.read(self.store, 0, int(size)))

    def restore(self, content: bytes) -> bool:
        """Take a snapshot, unless it is not one of this memory."""
        if len(content) != snapshot_bytes(self._memory_of):
            return False
        self._memory.write(self.store, content, inbox(self._memory_of))
        return bool(self._restore(())[0])


class WasmCompiled(EdgeCompiled):
    """Policies compiled to WebAssembly, hosted by wasmtime."""

    def __init__(self, bundle: Bundle) -> None:
        """Take a bundle.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
            ConfigurationError: C0001 when wasmtime is not installed.
        """
        super().__init__(bundle, WASM, WasmRunner)
        self._fast = self._reader()

    def device(self) -> Device:
        """Give a device that remembers by itself.

        Raises:
            PolicyError: E0315 for a policy outside the engine's profile.
            ConfigurationError: C0013 where the policies have nothing to remember.
        """
        return Device(self.bundle, WASM, WasmBoard)

    def verdict(self, context: Mapping[str, Json], t_us: int = 0) -> Verdict:
        """Give the raw verdict of the rule (of several: their meet, UNKNOWN below all)."""
        if self._fast is not None:
            try:
                return self._fast(context)
            except (KeyError, Surprise):
                pass  # something is absent or not a float: the general way knows what that means
        return super().verdict(context, t_us)

    def _reader(self) -> Callable[[Mapping[str, Json]], Verdict] | None:
        """Give a quick way for rules that look at nothing but numbers, where these are floats."""
        inputs = self._raw.inputs
        if not self.bundle.policies or any(
            each.look is not Look.VALUE
            or each.index is not None
            or each.held not in (Held.NUMBER, Held.STRICT_NUMBER)
            for each in inputs
        ):
            return None
        names = tuple(each.name for each in inputs)
        runner = self.raw_runner()
        if not isinstance(runner, WasmRunner):
            return None
        call = runner.call

        def read(context: Mapping[str, Json]) -> Verdict:
            values = [context[name] for name in names]
            floats = [value for value in values if value.__class__ is float]
            if len(floats) != len(values):
                raise Surprise
            (found,) = call(floats)
            return _VERDICTS[int(found)]

        return read
