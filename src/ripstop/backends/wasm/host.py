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
from typing import TYPE_CHECKING

from ripstop.backends.edge.host import EdgeCompiled, Run
from ripstop.backends.edge.inputs import Held, Look, Surprise
from ripstop.backends.edge.program import EdgeProgram
from ripstop.backends.wasm.encoding import F64, I32, I64
from ripstop.backends.wasm.engine import WASM
from ripstop.backends.wasm.module import WasmFunction, WasmModule, build_module
from ripstop.core.canonical import Json
from ripstop.core.decision import Verdict
from ripstop.core.errors import InternalError, missing_extra
from ripstop.policy.bundle import Bundle

if TYPE_CHECKING:
    import wasmtime

_VALUE = 16  # bytes of a wasmtime_val_raw_t
_LETTERS: Mapping[int, str] = {I32: "i12x", I64: "Q8x", F64: "d8x"}
_VERDICTS: Mapping[int, Verdict] = {int(each): each for each in Verdict}


@cache
def _engine() -> wasmtime.Engine:
    try:
        import wasmtime
    except ImportError:
        raise missing_extra("wasmtime", "wasm") from None
    engine = wasmtime.Engine()
    atexit.register(engine.close)  # before the interpreter takes away what its finaliser needs
    return engine


class Call:
    """One function of an instance, ready to be called with numbers; not to be shared between threads."""

    def __init__(self, module: WasmModule, function: WasmFunction, engine: wasmtime.Engine) -> None:
        import wasmtime
        from wasmtime import _ffi

        self.store = wasmtime.Store(engine)
        self.instance = wasmtime.Instance(self.store, wasmtime.Module(engine, module.code), [])
        exported = self.instance.exports(self.store)[function.name]
        if not isinstance(exported, wasmtime.Func):
            raise InternalError(f"the module exports no function `{function.name}`", code="X0004")
        self.function = exported
        count = len(function.program.inputs)
        self._size = max(count, len(function.results), 1)
        self._memory = ctypes.create_string_buffer(self._size * _VALUE)
        self._pack = Struct("<" + "d8x" * count).pack_into
        self._unpack = Struct("<" + "".join(_LETTERS[kind] for kind in function.results)).unpack_from
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
        """Call with the numbers of the inputs, in order; give the results.

        Raises:
            InternalError: X0004 when the code trapped, which no module made here can.
        """
        memory = self._memory
        self._pack(memory, 0, *values)
        context, function, raw, size, trap = self._arguments
        if self._raw(context, function, raw, size, trap) is not None or self._trap.value:
            raise InternalError("a policy's code trapped", code="X0004")
        return self._unpack(memory)


class WasmRunner:
    """Runs one program as a module."""

    def __init__(self, program: EdgeProgram) -> None:
        self.program = program
        self.module = build_module([program])
        self.call = Call(self.module, self.module.functions[0], _engine())

    def __call__(self, values: Sequence[float]) -> Run:
        """Run once."""
        found = [int(value) for value in self.call(values)[: 1 + self._whole()]]
        statuses, codes = [], []
        at = 1
        for policy in self.program.policies if self.program.action is not None else ():
            words = found[at + 1 : at + 1 + policy.words]
            statuses.append(found[at])
            codes.append(sum(word << 64 * index for index, word in enumerate(words)))
            at += 1 + policy.words
        return Run(_VERDICTS[found[0]], tuple(statuses), tuple(codes))

    def _whole(self) -> int:
        """Count the results between the verdict and the bounds."""
        if self.program.action is None:
            return 0
        return sum(1 + policy.words for policy in self.program.policies)


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
