"""The policy engine: policies in, something that decides out; one package for each way of running them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Literal, overload

from ripstop.backends.python import Compiled
from ripstop.core.errors import ConfigurationError
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy import Policy, make_bundle
from ripstop.policy.bundle import Bundle

if TYPE_CHECKING:
    from ripstop.backends.edge.host import EdgeCompiled

__all__ = ["ENGINES", "TARGETS", "Compiled", "compile", "emit"]

ENGINES = ("python", "wasm", "c99", "columns")
TARGETS = ("wasm", "c99", "python", "ir")

# imported by name where they are asked for: each needs what an agent does without
_EDGE_ENGINES: Mapping[str, tuple[str, str]] = {
    "wasm": ("ripstop.backends.wasm", "WasmCompiled"),
    "c99": ("ripstop.backends.c99", "C99Compiled"),
    "columns": ("ripstop.backends.columns", "ColumnsCompiled"),
}


@overload
def compile(  # noqa: A001 (the public name)
    policies: Policy | Sequence[Policy],
    engine: Literal["python"] = "python",
    *,
    vocabulary: Vocabulary | None = None,
    capabilities: Sequence[str] | None = None,
) -> Compiled: ...
@overload
def compile(  # noqa: A001 (the public name)
    policies: Policy | Sequence[Policy],
    engine: str,
    *,
    vocabulary: Vocabulary | None = None,
    capabilities: Sequence[str] | None = None,
) -> Compiled | EdgeCompiled: ...
def compile(  # noqa: A001 (the public name)
    policies: Policy | Sequence[Policy],
    engine: str = "python",
    *,
    vocabulary: Vocabulary | None = None,
    capabilities: Sequence[str] | None = None,
) -> Compiled | EdgeCompiled:
    """Compile policies for one agent.

    Args:
        policies: one, or a bundle in the order in which evidence is to be listed.
        engine: how to run them: `python`; `wasm` (under wasmtime); `c99` (with this machine's C compiler);
            `columns` (NumPy, over many contexts at once).
        vocabulary: the agent's; without it the most derived one among the policies'.
        capabilities: the agent's; policies that do not apply to it are left out. None is unknown, and what is
            unknown applies.

    Raises:
        ConfigurationError: C0003 for an engine that is not there, C0001 where it needs a missing package.
        PolicyError: E0312 and E0313 for policies that do not fit together, E0315 for one that the engine
            cannot run.
    """
    if engine not in ENGINES:
        raise ConfigurationError(
            f"there is no engine `{engine}`", code="C0003", hint=f"there is {', '.join(ENGINES)}"
        )
    given = (policies,) if isinstance(policies, Policy) else tuple(policies)
    bundle = make_bundle(given, vocabulary, capabilities)
    if engine == "python":
        return Compiled(bundle)
    module, name = _EDGE_ENGINES[engine]
    made: Callable[[Bundle], EdgeCompiled] = getattr(import_module(module), name)
    return made(bundle)


def emit(
    policies: Policy | Sequence[Policy],
    target: str,
    *,
    vocabulary: Vocabulary | None = None,
    evidence: bool = True,
    prefix: str = "ripstop",
) -> bytes:
    """Compile policies to a file.

    Args:
        policies: one, or a bundle.
        target: `wasm` (a module), `c99` (a header), `python` (the source of what the python engine runs) or
            `ir` (rules and limits' conditions as typed expressions, shared and in normal form, by the
            policies' ids: what `policy.codec` reads back).
        vocabulary: the agent's; without it the most derived one among the policies'.
        evidence: whether a module or header holds a decision with evidence and limits for each guarded
            action; else it holds the raw verdict alone.
        prefix: what the names in a header begin with.

    Returns:
        The file's bytes: the same policies give the same bytes.

    Raises:
        ConfigurationError: C0003 for a target that is not there.
        PolicyError: E0312 and E0313 for policies that do not fit together, E0315 for one that the target
            cannot run.
    """
    if target not in TARGETS:
        raise ConfigurationError(
            f"there is no target `{target}`", code="C0003", hint=f"there is {', '.join(TARGETS)}"
        )
    given = (policies,) if isinstance(policies, Policy) else tuple(policies)
    write: Callable[[Bundle, str, bool, str], bytes] = import_module("ripstop.backends.emission").write
    return write(make_bundle(given, vocabulary), target, evidence, prefix)
