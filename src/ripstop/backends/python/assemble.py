"""From the tree of a generated function to the function, its byte code looked at before anybody runs it.

CPython 3.11 merges blocks of code that stand on one line, and where it takes an empty one away (the `pass` of
an `else`, say) it can forget that a jump still leads there. That jump then leads to the function's first
instruction: the function never ends. No statement of ours jumps there, so such a function is recognised for
certain; it is compiled once more with each statement on a line of its own, which keeps the blocks apart. (On
no line at all branches would lead past jumps, 4 to 8 % faster; but CPython 3.13 then fails to compile some
loops, with an inconsistent stack, and 3.11 does not look for that.)
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dis import get_instructions
from types import FunctionType

from ripstop.backends.python.slots import Unsupported


def assemble(function: ast.FunctionDef, names: Mapping[str, object]) -> FunctionType:
    """Compile a function that uses some names; of its tree, the places in the source are written.

    Raises:
        Unsupported: CPython compiles it wrongly.
    """
    module = ast.Module([function], [])
    for in_lines in (False, True):
        _place(module, in_lines=in_lines)
        space = dict(names)
        exec(compile(module, "<ripstop rule>", "exec"), space)  # noqa: S102 (a tree that this package built)
        made: FunctionType = space[function.name]  # type: ignore[assignment]  # exec gives no type
        if not next(get_instructions(made)).is_jump_target:
            return made
    raise Unsupported("the interpreter's compiler loses a jump of it")


def _place(module: ast.Module, *, in_lines: bool) -> None:
    """Say where everything stands: all on one line, or each on its own."""
    for number, node in enumerate(ast.walk(module)):
        if "lineno" in node._attributes:
            line = 1 + number * in_lines
            vars(node).update(lineno=line, end_lineno=line, col_offset=0, end_col_offset=0)
