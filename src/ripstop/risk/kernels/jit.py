"""How a kernel is compiled: cached on disk, without the interpreter's lock, with exact IEEE arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir  # type: ignore[import-untyped]  # it ships no types
from numba import njit, types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function on its first call, and keep the machine code beside the source.

    No `fastmath` and no `parallel`: the same seed has to give the same bytes on every run.
    """
    return cast(F, njit(cache=True, nogil=True)(function))


def inlined(function: F) -> F:
    """Compile a function into those that call it: a call takes a reference to every array it is handed."""
    return cast(F, njit(cache=True, nogil=True, forceinline=True)(function))


def _one_instruction(name: str) -> Callable[[Any], Any]:
    def resolve(_typing: object, _word: types.Type) -> tuple[Signature, Callable[..., Any]]:
        def generate(_context: object, builder: Any, _signature: object, arguments: Any) -> Any:
            if name == "ctpop":
                return builder.ctpop(arguments[0])
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.uint64(types.uint64), generate

    return cast(Callable[[Any], Any], intrinsic(resolve))


popcount = _one_instruction("ctpop")
"""Count the set bits of a machine word; only inside kernels."""

lowest_bit = _one_instruction("cttz")
"""Give the position of the lowest set bit, 64 if there is none; only inside kernels."""
